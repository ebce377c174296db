"""From what the user calls a prompt to token ids.

A prompt is a text or a list of chat messages; several prompts are a list of
those.  ``chat_template`` is explicit: ``True`` wraps texts as one user message
and needs a template, ``False`` takes texts as they are, ``"auto"`` (default)
uses the template when the tokenizer has one.
"""

from __future__ import annotations

from typing import Any, Sequence, Union

from ..errors import ModelError, StructgenError

__all__ = ["Prompt", "is_batch", "render", "encode"]

Message = dict
Prompt = Union[str, Sequence[Message]]


def is_batch(prompt: Any) -> bool:
    """Is it several prompts?  A list of messages is one.

    Examples
    --------
    >>> is_batch("hello"), is_batch([{"role": "user", "content": "hello"}]), is_batch(["a", "b"])
    (False, False, True)
    """
    if isinstance(prompt, str):
        return False
    if not isinstance(prompt, (list, tuple)):
        raise StructgenError(f"a prompt is a text or a list of messages, not {type(prompt).__name__}")
    return not (prompt and all(isinstance(m, dict) for m in prompt))


def render(prompt: Prompt, tokenizer: Any, chat_template: Union[bool, str] = "auto") -> tuple[str, bool]:
    """The text of a prompt, and whether the template wrote it (its special tokens included)."""
    if chat_template not in (True, False, "auto"):
        raise StructgenError(f"chat_template={chat_template!r}: wanted True, False or 'auto'")
    if isinstance(prompt, str):
        has = getattr(tokenizer, "chat_template", None) is not None
        if chat_template is False or (chat_template == "auto" and not has):
            return prompt, False
        messages: list = [{"role": "user", "content": prompt}]
    else:
        if not isinstance(prompt, (list, tuple)):
            raise StructgenError(f"a prompt is a text or a list of messages, not {type(prompt).__name__}")
        messages = list(prompt)
        for m in messages:
            if not isinstance(m, dict) or "role" not in m:
                raise StructgenError(f"a message is a dict with 'role' and 'content', not {m!r}")
        if not messages:
            raise StructgenError("a prompt without messages")
        if chat_template is False:
            raise StructgenError("messages need a chat template, but chat_template=False",
                                 hint="pass the prompt as a text")
    if getattr(tokenizer, "chat_template", None) is None:
        raise ModelError("this tokenizer has no chat template",
                         hint="pass the prompt as a text with chat_template=False")
    # an assistant's last message is continued, not answered
    extra = messages[-1]["role"] == "assistant"
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=not extra,
                                             continue_final_message=extra)
    except Exception as error:      # templates raise whatever they like
        raise ModelError(f"the chat template refused the messages: {error}") from error
    return text, True


def encode(prompt: Prompt, tokenizer: Any,
           chat_template: Union[bool, str] = "auto") -> tuple[str, list[int]]:
    """The text of a prompt and its token ids."""
    text, templated = render(prompt, tokenizer, chat_template)
    ids = tokenizer(text, add_special_tokens=not templated)["input_ids"]
    ids = [int(t) for t in ids]
    if not ids:
        bos = getattr(tokenizer, "bos_token_id", None)
        if bos is None:
            bos = getattr(tokenizer, "eos_token_id", None)
        if bos is None:
            raise ModelError("the prompt has no tokens, and the tokenizer no token to start from")
        ids = [int(bos)]
    return text, ids
