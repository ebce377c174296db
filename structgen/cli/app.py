"""Commands and options; the work itself is in one module a command, imported when it runs."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, List, Optional

import typer

from .common import UsageError, guarded, settings

__all__ = ["app", "run"]

app = typer.Typer(
    name="structgen",
    help="Constrained decoding: check, inspect, compile and run schemas, regexes and choices.",
    epilog="Exit codes: 0 ok, 1 an instance or text does not fit, 2 usage, 3 a schema is bad or not supported, "
           "4 model, tokenizer or file, 5 a budget or limit, 70 a bug in structgen, 130 interrupted.",
    no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]})


class OutputFormat(str, Enum):
    text = "text"
    json = "json"


class Order(str, Enum):
    schema = "schema"
    any = "any"


class Extra(str, Enum):
    schema = "schema"
    closed = "closed"


class Numbers(str, Enum):
    all = "all"
    plain = "plain"


class Escapes(str, Enum):
    all = "all"
    minimal = "minimal"


class FormatMode(str, Enum):
    assert_ = "assert"
    annotate = "annotate"


class FailOn(str, Enum):
    refused = "refused"
    unenforced = "unenforced"
    never = "never"


SchemaHelp = ("A JSON Schema: a file, - for standard input, JSON text; or a Python type as package.module:Name or "
              "file.py:Name (which runs that code).")
SchemaArg = Annotated[str, typer.Argument(metavar="SCHEMA", help=SchemaHelp, show_default=False)]
OptionalSchemaArg = Annotated[Optional[str], typer.Argument(metavar="[SCHEMA]", help=SchemaHelp, show_default=False)]
SchemaOption = Annotated[Optional[str], typer.Option("--schema", "-s", metavar="SCHEMA", help=SchemaHelp)]
RegexOption = Annotated[Optional[str], typer.Option(
    "--regex", metavar="PATTERN", help="A regular expression instead of a schema; the whole text must match.")]
EcmaOption = Annotated[bool, typer.Option("--ecma", help="Read --regex as ECMA-262 (JavaScript), not as Python.")]
ChoiceOption = Annotated[Optional[List[str]], typer.Option(
    "--choice", metavar="TEXT", help="A text to choose from, instead of a schema; repeatable.")]
Output = Annotated[OutputFormat, typer.Option("--output-format", help="How results and errors are printed.")]
OrderOption = Annotated[Optional[Order], typer.Option("--order", help="Order of object keys. [default: schema]")]
ExtraOption = Annotated[Optional[Extra], typer.Option(
    "--extra", help="Undeclared keys: as the schema says, or never. [default: schema; closed for Python types]")]
WhitespaceOption = Annotated[Optional[str], typer.Option(
    "--whitespace", metavar="POLICY",
    help="White space between tokens of JSON: flexible, compact or json.dumps. [default: flexible]")]
NumbersOption = Annotated[Optional[Numbers], typer.Option("--numbers", help="Spellings of numbers. [default: all]")]
EscapesOption = Annotated[Optional[Escapes], typer.Option("--escapes", help="Spellings of strings. [default: all]")]
FormatOption = Annotated[Optional[FormatMode], typer.Option(
    "--format", help="Whether `format` restricts strings. [default: assert]")]
NoFormatOption = Annotated[Optional[List[str]], typer.Option(
    "--no-format", metavar="NAME", help="Do not enforce this format; repeatable.")]
LenientOption = Annotated[bool, typer.Option(
    "--lenient", help="List keywords that cannot be enforced instead of refusing them.")]
ModelOption = Annotated[str, typer.Option(
    "--model", "-m", metavar="MODEL",
    help="A folder in Hugging Face format, a hub id, embedded, embedded-diffusion, or tiny (random weights).")]
PromptOption = Annotated[str, typer.Option(
    "--prompt", "-p", metavar="TEXT", help="The prompt; - reads it from standard input.")]
SeedOption = Annotated[Optional[int], typer.Option("--seed", help="Makes sampling repeatable.")]
TemperatureOption = Annotated[Optional[float], typer.Option("--temperature", help="Sample with this temperature.")]
TopKOption = Annotated[Optional[int], typer.Option("--top-k", help="Sample from the best K tokens.")]
TopPOption = Annotated[Optional[float], typer.Option("--top-p", help="Sample from the top of the distribution.")]
ParserOption = Annotated[Optional[str], typer.Option("--parser", help="For Lark grammars: earley or lalr.")]
LexerOption = Annotated[Optional[str], typer.Option("--lexer", help="For Lark grammars: as in lark.Lark.")]
StartOption = Annotated[Optional[str], typer.Option("--start", help="For grammars: the rule to start with.")]
PostlexOption = Annotated[Optional[str], typer.Option("--postlex", help="For Lark grammars: python.")]
TokenizerOption = Annotated[str, typer.Option(
    "--tokenizer", "-t", metavar="TOKENIZER", help="A folder or file of a tokenizer, a hub id, or bytes.")]


def _version(wanted: bool) -> None:
    if wanted:
        from .version import describe

        typer.echo(describe())
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[bool, typer.Option(
        "--version", callback=_version, is_eager=True, help="Show versions and exit.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show a traceback when something fails.")] = False,
) -> None:
    settings.traceback = traceback
    settings.json = False


def _options(order: Optional[Order], extra: Optional[Extra], whitespace: Optional[str], numbers: Optional[Numbers],
             escapes: Optional[Escapes], format: Optional[FormatMode], no_format: Optional[List[str]],
             lenient: bool = False, grammar: tuple[Optional[str], ...] = ()) -> dict[str, Any]:
    from .inputs import language_options

    return language_options(order and order.value, extra and extra.value, whitespace, numbers and numbers.value,
                            escapes and escapes.value, format and format.value, no_format, lenient, grammar)


@app.command(short_help="Check JSON instances against a schema.")
@guarded
def validate(
    schema: SchemaArg,
    instances: Annotated[Optional[List[str]], typer.Argument(
        metavar="INSTANCE", help="JSON files; - or nothing: standard input.", show_default=False)] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Instances are JSON lines: one value a line.")] = False,
    format: FormatOption = None,
    no_format: NoFormatOption = None,
    output_format: Output = OutputFormat.text,
) -> None:
    """Check JSON instances against a schema; lists every error with both pointers."""
    settings.json = output_format is OutputFormat.json
    from .validate import run

    run(schema, instances or ["-"], lines, format and format.value, no_format or [])


@app.command(short_help="Say which keywords of a schema are enforced.")
@guarded
def explain(
    schema: SchemaArg,
    fail_on: Annotated[FailOn, typer.Option(
        "--fail-on", help="Exit with 3 if keywords are refused; or also if some are not enforced; or never.")] =
        FailOn.refused,
    witness: Annotated[bool, typer.Option("--witness", help="Also print a shortest valid value.")] = False,
    order: OrderOption = None, extra: ExtraOption = None, whitespace: WhitespaceOption = None,
    numbers: NumbersOption = None, escapes: EscapesOption = None, format: FormatOption = None,
    no_format: NoFormatOption = None,
    parser: ParserOption = None, lexer: LexerOption = None, start: StartOption = None, postlex: PostlexOption = None,
    diagram: Annotated[Optional[str], typer.Option(
        "--diagram", metavar="FILE", help="For grammars: draw the rules as railroad diagrams (SVG).")] = None,
    output_format: Output = OutputFormat.text,
) -> None:
    """Say what happens to each keyword of a schema, and what can never be valid; or what a grammar is made of."""
    settings.json = output_format is OutputFormat.json
    from .explain_grammar import is_grammar

    if is_grammar(schema):
        from .explain_grammar import run as run_grammar

        run_grammar(schema, parser, lexer, start, postlex, diagram)
        return
    if parser or lexer or start or postlex or diagram:
        raise UsageError("--parser, --lexer, --start, --postlex and --diagram concern grammars (.lark, .gbnf, .ebnf)")
    from .explain import run

    run(schema, fail_on.value, witness, _options(order, extra, whitespace, numbers, escapes, format, no_format))


@app.command(name="compile", short_help="Compile a constraint for a tokenizer to a file.")
@guarded
def compile_(
    tokenizer: TokenizerOption,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write the artefact.")],
    schema: OptionalSchemaArg = None,
    regex: RegexOption = None, ecma: EcmaOption = False, choice: ChoiceOption = None,
    order: OrderOption = None, extra: ExtraOption = None, whitespace: WhitespaceOption = None,
    numbers: NumbersOption = None, escapes: EscapesOption = None, format: FormatOption = None,
    no_format: NoFormatOption = None, lenient: LenientOption = False,
    parser: ParserOption = None, lexer: LexerOption = None, start: StartOption = None, postlex: PostlexOption = None,
    output_format: Output = OutputFormat.text,
) -> None:
    """Compile a constraint for a tokenizer and save it; prints timings and size."""
    settings.json = output_format is OutputFormat.json
    from .compile import run

    run(schema, regex, ecma, choice, tokenizer, output,
        _options(order, extra, whitespace, numbers, escapes, format, no_format, lenient,
                 (parser, lexer, start, postlex)))


@app.command(short_help="Let a language model write a text that fits.")
@guarded
def generate(
    schema: SchemaOption = None,
    regex: RegexOption = None, ecma: EcmaOption = False, choice: ChoiceOption = None,
    model: ModelOption = "embedded", prompt: PromptOption = "",
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many outputs.")] = 1,
    seed: SeedOption = None,
    max_new_tokens: Annotated[Optional[int], typer.Option(
        "--max-new-tokens", min=1, help="Token budget; the output is complete within it. For masked models the slots "
                                        "of the canvas. [default: 256; masked models 64]", show_default=False)] = None,
    temperature: TemperatureOption = None, top_k: TopKOption = None, top_p: TopPOption = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the value as it grows, a line a change.")] = False,
    steps: Annotated[Optional[int], typer.Option("--steps", min=1, help="Masked models: forward passes.")] = None,
    block_length: Annotated[Optional[int], typer.Option(
        "--block-length", min=1, help="Masked models: slots of a block, filled one after the other.")] = None,
    commit: Annotated[Optional[str], typer.Option(
        "--commit", metavar="RULE",
        help="Masked models: which slots of a step stay: low_confidence, entropy, random or threshold.")] = None,
    threshold: Annotated[Optional[float], typer.Option(
        "--threshold", help="Masked models: with --commit threshold, how sure. [default: 0.9]",
        show_default=False)] = None,
    guidance_scale: Annotated[Optional[float], typer.Option(
        "--guidance-scale", help="Masked models: guidance against the masked prompt. [default: 1, none]",
        show_default=False)] = None,
    trace: Annotated[Optional[str], typer.Option(
        "--trace", metavar="FILE", help="Masked models: draw the canvas step by step, into FILE.svg or FILE.html.")
    ] = None,
    order: OrderOption = None, extra: ExtraOption = None, whitespace: WhitespaceOption = None,
    numbers: NumbersOption = None, escapes: EscapesOption = None, format: FormatOption = None,
    no_format: NoFormatOption = None, lenient: LenientOption = False,
    parser: ParserOption = None, lexer: LexerOption = None, start: StartOption = None, postlex: PostlexOption = None,
    output_format: Output = OutputFormat.text,
) -> None:
    """Let a language model write a text that fits; one output a line with --output-format json."""
    settings.json = output_format is OutputFormat.json
    from .generate import run

    run(schema, regex, ecma, choice, model, prompt, n, seed, max_new_tokens,
        {"temperature": temperature, "top_k": top_k, "top_p": top_p},
        {"steps": steps, "block_length": block_length, "commit": commit, "threshold": threshold,
         "guidance_scale": guidance_scale}, stream, trace,
        _options(order, extra, whitespace, numbers, escapes, format, no_format, lenient,
                 (parser, lexer, start, postlex)))


@app.command(short_help="Sample from the model's own distribution, given validity.")
@guarded
def sample(
    schema: SchemaOption = None,
    regex: RegexOption = None, ecma: EcmaOption = False, choice: ChoiceOption = None,
    model: ModelOption = "embedded", prompt: PromptOption = "",
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many texts.")] = 20,
    sampling: Annotated[str, typer.Option(
        "--sampling", metavar="METHOD",
        help="exact, aligned (choose by predicted cost), weighted, mask, asap, smc, mcmc, rejection or dp.")
    ] = "aligned",
    seed: SeedOption = None,
    max_tokens: Annotated[int, typer.Option(
        "--max-tokens", min=1, help="Longest text, end token included; longer ones are not in the language.")] = 256,
    temperature: TemperatureOption = None, top_k: TopKOption = None, top_p: TopPOption = None,
    tokens: Annotated[str, typer.Option("--tokens", metavar="all|canonical", help="Which spellings of a text in tokens "
                                                                                  "count.")] = "all",
    diagnose: Annotated[int, typer.Option("--diagnose", min=0, help="Masked texts drawn to measure how far masking "
                                                                    "is.")] = 32,
    forwards: Annotated[Optional[int], typer.Option("--forwards", min=1, help="Most calls of the model.")] = None,
    seconds: Annotated[Optional[float], typer.Option("--seconds", min=0, help="Most time.")] = None,
    plot: Annotated[Optional[str], typer.Option("--plot", metavar="FILE", help="Write a picture (SVG).")] = None,
    oracle: Annotated[Optional[str], typer.Option(
        "--oracle", metavar="FILE", help="Keep what the model said there, and go on from it if it exists.")] = None,
    order: OrderOption = None, extra: ExtraOption = None, whitespace: WhitespaceOption = None,
    numbers: NumbersOption = None, escapes: EscapesOption = None, format: FormatOption = None,
    no_format: NoFormatOption = None, lenient: LenientOption = False,
    parser: ParserOption = None, lexer: LexerOption = None, start: StartOption = None, postlex: PostlexOption = None,
    output_format: Output = OutputFormat.text,
) -> None:
    """Sample texts and report how far masking token by token is from the model's distribution given validity.

    Temperature, top-k and top-p are part of that distribution: they act before the constraint.

    Texts go to standard output, one a line (as JSON with their probabilities with --output-format json), the report
    to standard error.
    """
    settings.json = output_format is OutputFormat.json
    from .sample import run

    budget = {k: v for k, v in (("forwards", forwards), ("seconds", seconds)) if v is not None}
    run(schema, regex, ecma, choice, model, prompt, n,
        {"sampling": sampling, "seed": seed, "max_tokens": max_tokens, "tokens": tokens, "diagnose": diagnose,
         "budget": budget or None, "temperature": temperature, "top_k": top_k, "top_p": top_p}, plot, oracle,
        _options(order, extra, whitespace, numbers, escapes, format, no_format, lenient,
                 (parser, lexer, start, postlex)))


@app.command(short_help="Say whether and where a text stops fitting.")
@guarded
def match(
    arguments: Annotated[List[str], typer.Argument(
        metavar="[SCHEMA] TEXT", help="The schema (not with --regex or --choice), then the text; - is standard input, "
                                      "less one newline at its end.", show_default=False)],
    regex: RegexOption = None, ecma: EcmaOption = False, choice: ChoiceOption = None,
    order: OrderOption = None, extra: ExtraOption = None, whitespace: WhitespaceOption = None,
    numbers: NumbersOption = None, escapes: EscapesOption = None, format: FormatOption = None,
    no_format: NoFormatOption = None, lenient: LenientOption = False,
    parser: ParserOption = None, lexer: LexerOption = None, start: StartOption = None, postlex: PostlexOption = None,
    output_format: Output = OutputFormat.text,
) -> None:
    """Say whether a text fits, or where it stops fitting and what was expected there."""
    settings.json = output_format is OutputFormat.json
    from .match import run

    run(arguments, regex, ecma, choice,
        _options(order, extra, whitespace, numbers, escapes, format, no_format, lenient,
                 (parser, lexer, start, postlex)))


@app.command(short_help="List the tokens allowed after a prefix.")
@guarded
def mask(
    tokenizer: TokenizerOption,
    schema: OptionalSchemaArg = None,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="The text so far; - is standard input.")] = "",
    top: Annotated[int, typer.Option("--top", min=0, help="How many tokens to list; 0 lists all.")] = 20,
    regex: RegexOption = None, ecma: EcmaOption = False, choice: ChoiceOption = None,
    order: OrderOption = None, extra: ExtraOption = None, whitespace: WhitespaceOption = None,
    numbers: NumbersOption = None, escapes: EscapesOption = None, format: FormatOption = None,
    no_format: NoFormatOption = None, lenient: LenientOption = False,
    parser: ParserOption = None, lexer: LexerOption = None, start: StartOption = None, postlex: PostlexOption = None,
    output_format: Output = OutputFormat.text,
) -> None:
    """List the tokens allowed after a prefix."""
    settings.json = output_format is OutputFormat.json
    from .mask import run

    run(schema, regex, ecma, choice, tokenizer, prefix, top,
        _options(order, extra, whitespace, numbers, escapes, format, no_format, lenient,
                 (parser, lexer, start, postlex)))


def run() -> None:
    """The whole program: commands, with an interrupt anywhere turned into exit code 130."""
    try:
        app(prog_name="structgen")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
