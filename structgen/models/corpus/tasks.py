"""The other tasks: tool calls, SQL, arithmetic, dates and e-mails, labels, short free text."""

from __future__ import annotations

from typing import Any, Callable

from .extraction import choose
from .fields import NUMBERS
from .names import WORDS, Draw, spoken_date

__all__ = ["tool_call", "sql", "arithmetic", "normalise", "label", "prose"]


def _user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


# tool -> ({argument: (JSON type, draw)}, requests)
_TOOLS: dict[str, tuple[dict[str, tuple[str, Callable[[Draw], Any]]], tuple[str, ...]]] = {
    "get_weather": ({"city": ("string", Draw.city)},
                    ("What is the weather in {city}?", "Will it rain in {city}?", "~Do I need a coat in {city}?")),
    "book_table": ({"name": ("string", Draw.last_name), "people": ("integer", lambda d: d.rng.randint(2, 12))},
                   ("Book a table for {people} under {name}.", "A table for {people}, name {name}.",
                    "~We are {people} and want to eat tonight, I am {name}.")),
    "send_email": ({"to": ("string", lambda d: d.email(d.person())), "subject": ("string", Draw.gathering)},
                   ("Write to {to} about {subject}.", "Email {to}, subject {subject}.",
                    "~Let {to} know about {subject}.")),
    "play_music": ({"artist": ("string", Draw.person)},
                   ("Play something by {artist}.", "I want to hear {artist}.", "~Put on {artist} please.")),
    "set_timer": ({"minutes": ("integer", lambda d: d.rng.randint(1, 90))},
                  ("Set a timer for {minutes} minutes.", "Wake me in {minutes} minutes.",
                   "~Ring when {minutes} minutes are over.")),
    "convert": ({"amount": ("number", lambda d: d.rng.randint(1, 900)),
                 "currency": ("string", lambda d: d.one(("EUR", "USD", "GBP")))},
                ("How much is {amount} in {currency}?", "Convert {amount} to {currency}.",
                 "~I have {amount}, what is that in {currency}?")),
    "find_route": ({"start": ("string", Draw.city), "goal": ("string", Draw.city)},
                   ("How do I get from {start} to {goal}?", "Show the way from {start} to {goal}.",
                    "~I am in {start} and must be in {goal}.")),
    "search": ({"query": ("string", Draw.product)},
               ("Search for {query}.", "Find me a {query}.", "~Where can I see a {query}?")),
    "get_order": ({"id": ("string", Draw.code)},
                  ("Where is order {id}?", "Look up order {id}.", "~Has {id} arrived yet?")),
    "add_contact": ({"name": ("string", Draw.person), "age": ("integer", lambda d: d.rng.randint(18, 90))},
                    ("Add {name}, aged {age}.", "New contact {name}, {age} years old.",
                     "~Remember {name} who is {age}.")),
}


def tool_call(d: Draw, *, templates: bool = False, **_: Any) -> tuple:
    """A list of tools and a request; the answer calls one of them."""
    offered = d.rng.sample(list(_TOOLS), d.rng.choice((2, 2, 3, 3, 4)))
    name = d.one(offered)
    arguments, requests = _TOOLS[name]
    values = {a: draw(d) for a, (_, draw) in arguments.items()}
    keys = ("tool", "arguments") if d.chance(0.6) else ("name", "args")
    calls = []
    for tool in offered:
        inner = {a: {"type": kind} for a, (kind, _) in _TOOLS[tool][0].items()}
        calls.append({"type": "object", "properties": {
            keys[0]: {"const": tool},
            keys[1]: {"type": "object", "properties": inner, "required": list(inner), "additionalProperties": False}},
            "required": list(keys), "additionalProperties": False})
    listing = "; ".join(f"{t}({','.join(f'{a}:{k}' for a, (k, _) in _TOOLS[t][0].items())})" for t in offered)
    request = choose(d, requests, templates).format(**values)
    form = '{"%s":...,"%s":{...}}' % keys
    if d.chance(0.3):
        messages = [{"role": "system", "content": f"Tools: {listing}\nCall as {form}"}, *_user(request)]
    else:
        messages = _user(f"Tools: {listing}\nCall as {form}\n{request}")
    return messages, {"anyOf": calls}, {keys[0]: name, keys[1]: values}


_TABLES = {
    "employees": ("name", "city", "salary", "age"), "orders": ("id", "customer", "total", "year"),
    "books": ("title", "author", "pages", "year"), "flights": ("code", "origin", "seats", "price"),
    "products": ("name", "brand", "price", "weight"), "students": ("name", "school", "grade", "age"),
}
_QUESTIONS = (
    ("{c} of {t} with {n} over {v}", ">"), ("{c} of {t} where {n} is more than {v}", ">"),
    ("{c} of {t} with {n} under {v}", "<"), ("{c} of {t} where {n} is less than {v}", "<"),
    ("{c} of {t} with {n} equal to {v}", "="), ("~for which {t} does {n} exceed {v}, list {c}", ">"),
    ("~{t} that stay below {v} in {n}, show {c}", "<"),
)


def sql(d: Draw, *, templates: bool = False, **_: Any) -> tuple:
    """A question over a table; the answer is one SELECT, the constraint a regex over its columns."""
    table = d.one(list(_TABLES))
    columns = _TABLES[table]
    column = d.one(columns[:2])
    if d.chance(0.35):
        value = d.city() if columns[1] in ("city", "origin") else d.last_name()
        where, condition = columns[1], f"{columns[1]} = '{value}'"
        question = f"{column} of {table} with {where} {value}"
    else:
        text, sign = d.one([q for q in _QUESTIONS if q[0].startswith("~") == templates])
        number = d.rng.randint(1, 9999)
        where = d.one(columns[2:])
        condition = f"{where} {sign} {number}"
        question = text.lstrip("~").format(c=column, t=table, n=where, v=number)
    if d.chance(0.25):
        question = question.replace(column + " of", "number of", 1)
        question = question.replace("list " + column, "count them").replace("show " + column, "count them")
        column = "COUNT(*)"
    names = "|".join(columns)
    pattern = (rf"SELECT ({names}|COUNT\(\*\)) FROM {table} WHERE ({names}) "
               r"([<>=] [0-9]{1,6}|= '[A-Za-z ]{1,30}');")
    return (_user(f"Table {table}({', '.join(columns)})\nSQL: {question}"), pattern,
            f"SELECT {column} FROM {table} WHERE {condition};")


def arithmetic(d: Draw, *, templates: bool = False, **_: Any) -> tuple:
    """A sum of two or three numbers in steps, tens before ones, then the answer."""
    first, second, third = d.rng.randint(1, 49), d.rng.randint(1, 49), d.rng.randint(1, 20)
    steps, total, text = [], first, str(first)
    for number in (second, third) if d.chance(0.4) else (second,):
        sign = "-" if d.chance(0.4) and number <= total else "+"
        text += f"{sign}{number}"
        for part in filter(None, (number - number % 10, number % 10)):
            result = total + part if sign == "+" else total - part
            steps.append(f"{total}{sign}{part}={result}")
            total = result
    asked = choose(d, ("What is {e}?", "Compute {e} in steps.", "{e} = ?", "Work out {e}.", "~How much does {e} make?"),
                   templates).format(e=text)
    step = {"type": "string", "pattern": "^[0-9]+[+-][0-9]+=[0-9]+$"}
    schema = {"type": "object", "properties": {"steps": {"type": "array", "items": step, "minItems": 1},
                                               "answer": {"type": "integer"}},
              "required": ["steps", "answer"], "additionalProperties": False}
    return _user(f"{asked}\nJSON: {{steps:string[],answer:integer}}"), schema, {"steps": steps, "answer": total}


_DATE_PATTERN = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"


def normalise(d: Draw, *, templates: bool = False, **_: Any) -> tuple:
    """A date or an e-mail address in its standard form; the constraint is a regex."""
    if d.chance(0.5):
        day = d.date()
        asked = choose(d, ("ISO date: {v}", "Write {v} as YYYY-MM-DD.", "Date in {v}?", "Normalise the date {v}.",
                           "~Which ISO date is {v}?"), templates)
        return _user(asked.format(v=spoken_date(day, d.rng.randint(0, 4)))), _DATE_PATTERN, day.isoformat()
    person, domain = d.person(), d.one(("example.org", "example.com", "mail.net", "post.io"))
    first, last = person.lower().split(" ")
    asked = choose(d, ("E-mail of {p} at {h}", "Write the e-mail address of {p} at {h}.", "{p}, {h}: e-mail?",
                       "~How do I mail {p} if the host is {h}?"), templates)
    return _user(asked.format(p=person, h=domain)), r"[a-z]+\.[a-z]+@[a-z]+\.[a-z]+", f"{first}.{last}@{domain}"


_MOODS = {
    "positive": ("I love the {p}.", "The {p} works very well.", "Great {p}, thank you.", "~Best {p} I ever had."),
    "negative": ("I hate the {p}.", "The {p} broke after a day.", "Bad {p}, never again.", "~Worst {p} I ever had."),
    "question": ("Is the {p} in stock?", "How heavy is the {p}?", "When will the {p} arrive?", "~Who makes the {p}?"),
}


def label(d: Draw, *, templates: bool = False, **_: Any) -> tuple:
    """One of a few labels; the constraint is a choice, written as an enum."""
    mood = d.one(list(_MOODS))
    text = choose(d, _MOODS[mood], templates).format(p=d.product())
    asked = choose(d, ("Label as {c}: {t}", "{t}\nOne of {c}", "Is this {c}? {t}", "~Choose among {c} for: {t}"),
                   templates)
    labels = list(_MOODS)
    d.rng.shuffle(labels)
    return _user(asked.format(c=", ".join(labels), t=text)), "|".join(sorted(labels)), mood


_PROSE = (
    ("Tell me about {n}.", "{n} is a {j} from {c} who likes {t}."),
    ("Who is {n}?", "{n} works as {j} in {c}."),
    ("Write a sentence about {c}.", "{c} is a quiet town where {n} studied {t}."),
    ("Describe a {p}.", "This {p} is useful at home and lasts for years."),
    ("Say hello to {n}.", "Hello {n}, nice to meet you!"),
    ("Count to {k}.", "{l}"),
    ("~What do you know about {n}?", "{n} is a {j} from {c} who likes {t}."),
)


def prose(d: Draw, *, templates: bool = False, **_: Any) -> tuple:
    """A sentence; nothing constrains it."""
    asked, answer = d.one([p for p in _PROSE if p[0].startswith("~") == templates])
    count = d.rng.randint(2, 12)
    values = dict(n=d.person(), j=d.one(WORDS["job"]), c=d.city(), t=d.one(WORDS["topic"]), p=d.product(),
                  k=NUMBERS[count], l=", ".join(str(i) for i in range(1, count + 1)))
    return _user(asked.lstrip("~").format(**values)), None, answer.format(**values)
