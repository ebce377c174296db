"""Is a text valid to a parser that somebody else wrote?  None: that parser is not installed."""

from __future__ import annotations

import ast
import csv
import datetime
import email.headerregistry
import importlib
import io
import json
import sqlite3
import sys
import warnings
import xml.etree.ElementTree
from typing import Callable, Optional

__all__ = ["checker"]


def _json(text: str) -> None:
    json.loads(text)


def _jsonl(text: str) -> None:
    for line in text.split("\n"):
        if line.strip():
            json.loads(line)


def _csv(text: str) -> None:
    list(csv.reader(io.StringIO(text, newline=""), strict=True))


def _python_expression(text: str) -> None:
    ast.parse(text.strip(), mode="eval")


def _python(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ast.parse(text)


def _iso8601(text: str) -> None:
    if "T" in text:
        datetime.datetime.fromisoformat(text)
    elif "-" in text:
        datetime.date.fromisoformat(text)
    else:
        datetime.time.fromisoformat(text)


def _email(text: str) -> None:
    email.headerregistry.Address(addr_spec=text)


def _xml(text: str) -> None:
    xml.etree.ElementTree.fromstring(text)


def _sqlite(text: str) -> None:
    """Refused for its syntax; what it names need not exist."""
    try:
        sqlite3.connect(":memory:").execute(text)
    except (sqlite3.Error, sqlite3.Warning) as err:
        if any(s in str(err) for s in ("syntax error", "incomplete input", "unrecognized token", "one statement")):
            raise


def checker(name: str) -> Optional[Callable[[str], None]]:
    """The function that raises for texts that are not valid `name`; None where nothing is installed."""
    own = {"json": _json, "jsonl": _jsonl, "csv": _csv, "arith": _python_expression, "python": _python,
           "email": _email, "xml": _xml, "sqlite": _sqlite}
    if sys.version_info >= (3, 11):
        own["iso8601"] = _iso8601
    if name in own:
        return own[name]
    make = {"uri": _uri, "c": _c, "graphql": _graphql, "smiles": _smiles, "sparql": _sparql, "dot": _dot,
            "cron": _cron}.get(name)
    try:
        return make() if make is not None else None
    except ModuleNotFoundError:
        return None


def _uri():
    validate = importlib.import_module("rfc3986_validator").validate_rfc3986

    def check(text: str) -> None:
        if not validate(text, rule="URI"):
            raise ValueError("no URI")
    return check


def _c():
    parser = importlib.import_module("pycparser.c_parser").CParser
    return lambda text: parser().parse(text)


def _graphql():
    return importlib.import_module("graphql").parse


def _smiles():
    chem = importlib.import_module("rdkit.Chem")
    importlib.import_module("rdkit.RDLogger").DisableLog("rdApp.*")

    def check(text: str) -> None:
        if chem.MolFromSmiles(text, sanitize=False) is None:
            raise ValueError("no SMILES")
    return check


def _sparql():
    return importlib.import_module("rdflib.plugins.sparql.parser").parseQuery


def _dot():
    parse = importlib.import_module("pydot").graph_from_dot_data

    def check(text: str) -> None:
        out, sys.stdout = sys.stdout, io.StringIO()        # it prints its complaints
        try:
            graphs = parse(text)
        finally:
            sys.stdout = out
        if not graphs:
            raise ValueError("no DOT")
    return check


def _cron():
    valid = importlib.import_module("croniter").croniter.is_valid

    def check(text: str) -> None:
        if not valid(text):
            raise ValueError("no cron expression")
    return check
