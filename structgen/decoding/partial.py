"""Typed partial values of a JSON text that is still being written.

:class:`PartialJson` reads the text piece by piece and holds the value so far:
containers appear when they open, scalars only once nothing can change them, so
half a string or ``12`` of ``123`` is never seen.  :func:`partial_value` gives
the same as instances of the wanted type: what is closed is validated, what is
open is built field by field without validation, and fields that have no value
yet are simply absent.

Reading costs O(1) a character, whatever the pieces; typing an update costs
what is open, since closed parts are typed once.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from typing import Any, Optional, Union

from ..errors import StructgenError

__all__ = ["PartialJson", "MISSING", "OpenDict", "OpenList", "partial_value", "plain"]


class _Missing:
    """No value yet."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Any = _Missing()


class OpenDict(dict):
    """An object of a partial value; `closed` once its brace is there."""

    __slots__ = ("closed", "typed")

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.typed: dict = {}


class OpenList(list):
    """An array of a partial value; `closed` once its bracket is there."""

    __slots__ = ("closed", "typed")

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.typed: dict = {}


_SPACE = re.compile(r"[ \t\n\r]*")
_STRING_REST = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_NUMBER = re.compile(r"[-+0-9.eE]+")
_LITERALS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _COMMA, _DONE = range(7)


class PartialJson:
    """An incremental reader of one JSON value.

    The text is trusted to be a prefix of valid JSON (a matcher made it).

    Attributes
    ----------
    value
        What is known so far, `MISSING` before anything is.  Containers grow in
        place; take :func:`plain` of it for a copy that stays.
    complete : bool
        Whether the value is finished.

    Examples
    --------
    >>> p = PartialJson()
    >>> p.feed('{"name": "Ada Love'), p.value
    (True, {})
    >>> p.feed('lace", "age": 3'), p.value
    (True, {'name': 'Ada Lovelace'})
    >>> p.feed('6', may_grow=False), p.value
    (True, {'name': 'Ada Lovelace', 'age': 36})
    """

    def __init__(self) -> None:
        self.value: Any = MISSING
        self.complete = False
        self._rest = ""                 # not yet read: the start of a token
        self._seen = 0                  # of it, known to be inside a string
        self._stack: list[Union[OpenDict, OpenList]] = []
        self._keys: list[str] = []      # the key whose value is due, for each open object
        self._state = _VALUE

    def feed(self, text: str, *, may_grow: bool = True) -> bool:
        """Read more; whether the value changed.

        Parameters
        ----------
        text : str
            The next piece of the text, of any length.
        may_grow : bool
            Whether a number at the very end may get more digits, as far as the
            caller knows (the matcher knows what may follow).
        """
        text = self._rest + text if self._rest else text
        at, size, changed = 0, len(text), False
        while True:
            at = _SPACE.match(text, at).end()
            if at >= size:
                break
            c = text[at]
            state = self._state
            if state == _COMMA or (state in (_VALUE_OR_END, _KEY_OR_END) and c in "]}"):
                at += 1
                if c == ",":
                    self._state = _KEY if isinstance(self._stack[-1], OpenDict) else _VALUE
                elif c in "]}" and self._stack:
                    node = self._stack.pop()
                    node.closed = changed = True
                    if isinstance(node, OpenDict):
                        self._keys.pop()
                    self._after()
                else:
                    raise self._broken(text, at - 1)
            elif state == _COLON:
                if c != ":":
                    raise self._broken(text, at)
                at += 1
                self._state = _VALUE
            elif state == _DONE:
                raise self._broken(text, at)
            elif c in "{[" and state in (_VALUE, _VALUE_OR_END):
                at += 1
                changed = True
                node = OpenDict() if c == "{" else OpenList()
                self._put(node)
                self._stack.append(node)
                if c == "{":
                    self._keys.append("")
                self._state = _KEY_OR_END if c == "{" else _VALUE_OR_END
            elif c == '"':
                end = self._string_end(text, at)
                if end < 0:
                    break
                value = json.loads(text[at:end], strict=False)
                at = end
                if state in (_KEY, _KEY_OR_END):
                    self._keys[-1] = value
                    self._state = _COLON
                else:
                    changed = True
                    self._put(value)
                    self._after()
            elif state in (_KEY, _KEY_OR_END):
                raise self._broken(text, at)
            elif c in _LITERALS:
                word, value = _LITERALS[c]
                piece = text[at:at + len(word)]
                if not word.startswith(piece):
                    raise self._broken(text, at)
                if piece != word:
                    break
                at += len(word)
                changed = True
                self._put(value)
                self._after()
            else:
                match = _NUMBER.match(text, at)
                if match is None:
                    raise self._broken(text, at)
                if match.end() == size and may_grow:
                    break
                try:
                    value = json.loads(match[0])
                except ValueError:
                    if match.end() == size:
                        break           # it must grow, whatever the caller says
                    raise self._broken(text, at) from None
                at = match.end()
                changed = True
                self._put(value)
                self._after()
        self._rest = text[at:]
        return changed

    def _string_end(self, text: str, at: int) -> int:
        """Index after the closing quote of the string at `at`, -1 when it is not there yet."""
        end = _STRING_REST.match(text, max(at + 1, self._seen)).end()
        if end < len(text) and text[end] == '"':
            self._seen = 0
            return end + 1
        self._seen = end - at       # next time the text starts at this string
        return -1

    def _put(self, value: Any) -> None:
        if not self._stack:
            self.value = value
            return
        node = self._stack[-1]
        if isinstance(node, OpenDict):
            node[self._keys[-1]] = value
        else:
            node.append(value)

    def _after(self) -> None:
        """A value is finished."""
        self._state = _COMMA if self._stack else _DONE
        self.complete = not self._stack

    def _broken(self, text: str, at: int) -> StructgenError:
        return StructgenError(f"the text is no prefix of JSON: {text[at:at + 20]!r} cannot stand here")


def plain(value: Any) -> Any:
    """A partial value as ordinary dicts and lists that no longer change.

    Examples
    --------
    >>> p = PartialJson()
    >>> _ = p.feed('[1, {"a": [')
    >>> plain(p.value)
    [1, {'a': []}]
    """
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


# -- typed ------------------------------------------------------------------

def partial_value(adapter: Any, data: Any) -> Any:
    """The value so far as (partial) instances of the adapter's type.

    Closed parts are validated; when their own validation refuses them (the
    finished document is what counts) they stay as they are.  Open parts:

    * models and dataclasses are instances with only the finished fields set,
      made without ``__init__`` and without defaults; ``hasattr`` tells;
    * TypedDicts and dicts are dicts, lists are lists, sets and tuples hold the
      finished items; a NamedTuple is a plain tuple until it closes;
    * in a union the branch is chosen once the keys so far leave only one;
      until then the value is a dict.

    Parameters
    ----------
    adapter
        A pydantic ``TypeAdapter``, a type, or None for plain data.
    data
        ``PartialJson.value``.

    Returns
    -------
    object
        `MISSING` while there is nothing.

    Examples
    --------
    >>> import pydantic
    >>> class User(pydantic.BaseModel):
    ...     name: str
    ...     tags: set[int] = set()
    >>> p = PartialJson()
    >>> _ = p.feed('{"name": "Ada", "tags": [1, 2')
    >>> partial_value(User, p.value)
    User(name='Ada', tags={1})
    """
    if data is MISSING or adapter is None:
        return plain(data)
    import pydantic

    if isinstance(adapter, pydantic.TypeAdapter):
        if _closed(data):
            return _validated(adapter, data)
        adapter = adapter._type
    return _build(adapter, data)


def _closed(data: Any) -> bool:
    return getattr(data, "closed", True)


_ADAPTERS: dict[Any, Any] = {}


def _adapter(tp: Any) -> Any:
    import pydantic

    try:
        found = _ADAPTERS.get(tp)
    except TypeError:           # unhashable metadata
        return pydantic.TypeAdapter(tp)
    if found is None:
        if len(_ADAPTERS) > 1000:
            _ADAPTERS.clear()
        found = _ADAPTERS[tp] = pydantic.TypeAdapter(tp)
    return found


def _validated(adapter: Any, data: Any) -> Any:
    """A finished value by the type's own rules, or as it is when they refuse it."""
    try:
        return adapter.validate_json(json.dumps(data))
    except Exception:
        return plain(data)


def _strip(tp: Any) -> Any:
    """The type without Annotated, NewType, aliases and qualifiers."""
    while True:
        origin = typing.get_origin(tp)
        if origin is typing.Annotated or getattr(origin, "__name__", "") in _QUALIFIERS:
            tp = typing.get_args(tp)[0]
        elif hasattr(tp, "__supertype__"):
            tp = tp.__supertype__
        elif type(tp).__name__ == "TypeAliasType":
            tp = tp.__value__
        else:
            return tp


_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "ClassVar", "Final")


def _build(tp: Any, data: Any) -> Any:
    """`data` as a `tp`; closed data is validated once and remembered."""
    if not _closed(data):
        return _open(_strip(tp), data)
    try:
        adapter = _adapter(tp)
    except Exception:           # a type only its surroundings can resolve
        return plain(data)
    if not isinstance(data, (OpenDict, OpenList)):
        return _validated(adapter, data)
    typed = data.typed.get(id(adapter))
    if typed is None:
        # the adapter is kept too, so that its id stays its own
        typed = data.typed[id(adapter)] = adapter, _validated(adapter, data)
    return typed[1]


def _open(tp: Any, data: Any) -> Any:
    """`data`, an open container, as a partial `tp`."""
    origin = typing.get_origin(tp)
    args = typing.get_args(tp)
    if origin is Union or origin is types.UnionType:
        branch = _branch([_strip(a) for a in args], data)
        return plain(data) if branch is None else _open(branch, data)
    if isinstance(data, list):
        return _open_array(tp, origin or tp, args, data)
    fields = _fields(tp)
    if fields is not None:
        values = {}
        for key, value in data.items():
            if key in fields:
                name, inner = fields[key]
                values[name] = _build(inner, value)
        return _instance(tp, values)
    if args and isinstance(origin, type) and len(args) == 2:
        return {_build(args[0], k): _build(args[1], v) for k, v in data.items()}
    return plain(data)


def _open_array(tp: Any, kind: Any, args: tuple, data: OpenList) -> Any:
    import pydantic

    root = _root(tp)
    if root is not None:
        return _instance(tp, {"root": _open(_strip(root), data)})
    if isinstance(kind, type) and issubclass(kind, tuple):
        if hasattr(kind, "_fields"):
            hints = _hints(kind)
            inner = [hints.get(name, Any) for name in kind._fields]
        elif len(args) == 2 and args[1] is Ellipsis:
            inner = [args[0]] * len(data)
        else:
            inner = list(args)
        inner += [Any] * (len(data) - len(inner))
        return tuple(_build(t, v) for t, v in zip(inner, data))
    item = args[0] if len(args) == 1 else Any
    if isinstance(kind, type) and issubclass(kind, (set, frozenset)):
        # only what is closed can be hashed, and stays equal to itself
        return kind(_build(item, v) for v in data if _closed(v))
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return plain(data)
    return [_build(item, v) for v in data]


def _root(tp: Any) -> Any:
    """The type inside a RootModel, else None."""
    import pydantic

    if isinstance(tp, type) and issubclass(tp, pydantic.RootModel):
        return tp.model_fields["root"].annotation
    return None


def _hints(tp: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(tp, include_extras=True)
    except Exception:           # a name that cannot be resolved here
        return {}


def _fields(tp: Any) -> Optional[dict[str, tuple[str, Any]]]:
    """JSON key -> (attribute, type) of a model, dataclass or TypedDict, else None."""
    import pydantic

    if not isinstance(tp, type):
        origin = typing.get_origin(tp)
        if not isinstance(origin, type) or not (dataclasses.is_dataclass(origin) or _is_typed_dict(origin)):
            return None
        tp = origin         # a generic one: its own type variables stay open
    if issubclass(tp, pydantic.BaseModel):
        if _root(tp) is not None:
            return None
        infos = tp.model_fields
    elif hasattr(tp, "__pydantic_fields__"):
        infos = tp.__pydantic_fields__
    elif dataclasses.is_dataclass(tp):
        hints = _hints(tp)
        return {f.name: (f.name, hints.get(f.name, Any)) for f in dataclasses.fields(tp)}
    elif _is_typed_dict(tp):
        return {k: (k, v) for k, v in _hints(tp).items()}
    else:
        return None
    out = {}
    for name, info in infos.items():
        inner = info.annotation
        if info.metadata:
            inner = typing.Annotated[(inner, *info.metadata)]
        for key in _aliases(name, info):
            out[key] = name, inner
    return out


def _aliases(name: str, info: Any) -> list[str]:
    alias = info.validation_alias if info.validation_alias is not None else info.alias
    choices = getattr(alias, "choices", [alias])
    return [name, *(c for c in choices if isinstance(c, str))]


def _is_typed_dict(tp: type) -> bool:
    return issubclass(tp, dict) and hasattr(tp, "__total__")


def _instance(tp: Any, values: dict[str, Any]) -> Any:
    """An instance with just these attributes, nothing run and nothing filled in."""
    import pydantic

    tp = typing.get_origin(tp) or tp
    if _is_typed_dict(tp):
        return values
    out = tp.__new__(tp)
    if issubclass(tp, pydantic.BaseModel):
        object.__setattr__(out, "__dict__", values)
        object.__setattr__(out, "__pydantic_fields_set__", set(values))
        object.__setattr__(out, "__pydantic_extra__", None)
        object.__setattr__(out, "__pydantic_private__", None)
        return out
    for name, value in values.items():
        object.__setattr__(out, name, value)
    return out


def _branch(options: list[Any], data: Any) -> Any:
    """The one member of a union that an open container can still become, None if not just one."""
    fits = [tp for tp in options if _may_be(tp, data)]
    return fits[0] if len(fits) == 1 else None


def _may_be(tp: Any, data: Any) -> bool:
    origin = typing.get_origin(tp) or tp
    if origin is Union or origin is types.UnionType:
        return any(_may_be(_strip(a), data) for a in typing.get_args(tp))
    if not isinstance(origin, type):
        return tp is Any
    if isinstance(data, list):
        root = _root(tp)
        if root is not None:
            return _may_be(_strip(root), data)
        return origin is object or not issubclass(origin, (str, bytes, dict)) and hasattr(origin, "__iter__") \
            and _fields(tp) is None
    fields = _fields(tp)
    if fields is None:
        root = _root(tp)
        if root is not None:
            return _may_be(_strip(root), data)
        return origin is object or hasattr(origin, "keys")
    for key, value in data.items():
        if key not in fields:
            return False
        inner = _strip(fields[key][1])
        if typing.get_origin(inner) is typing.Literal and value not in typing.get_args(inner):
            return False
    return True
