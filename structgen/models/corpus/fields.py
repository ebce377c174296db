"""What records are made of: facts with their JSON form, and the ways texts put them.

A fact is drawn once and has two sides, the JSON value and what the text says
(``1984-05-03`` and ``3 May 1984``).  Sentences are templates over the facts of
a record; those that begin with ``~`` are held out from training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

from .names import WORDS, Draw, spoken_date

__all__ = ["Fact", "Record", "RECORDS", "NUMBERS"]

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pl": "Polish"}
STRING: dict = {"type": "string"}
INTEGER: dict = {"type": "integer"}
NUMBER: dict = {"type": "number"}
BOOLEAN: dict = {"type": "boolean"}
DATE: dict = {"type": "string", "format": "date"}
EMAIL: dict = {"type": "string", "format": "email"}


@dataclass(frozen=True)
class Fact:
    """One fact of a record: `draw` gives the JSON value and the wording."""

    keys: str                       # names a schema may give it, the usual one first
    schema: dict
    draw: Callable[[Draw, dict], tuple[Any, str]]
    label: str = ""                 # in lists of labels and values; the usual key if empty

    @property
    def names(self) -> list[str]:
        """The keys as a list."""
        return self.keys.split()


@dataclass(frozen=True)
class Record:
    """A kind of thing: its facts and the sentences about it."""

    noun: str
    main: str                       # the fact that the first sentence gives
    facts: dict[str, Fact]
    sentences: tuple[str, ...]
    groups: Optional[dict[str, tuple[str, ...]]] = None     # nested objects: key -> facts
    pronoun: tuple[str, ...] = ("It",)


def _text(keys: str, make: Callable[[Draw], str], schema: dict = STRING, label: str = "") -> Fact:
    """A string that the text says as it is."""
    return Fact(keys, schema, lambda d, _: (make(d),) * 2, label)


def _whole(keys: str, low: int, high: int, words: bool = False) -> Fact:
    """A whole number, with `words` sometimes said in words."""
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        value = d.rng.randint(low, high)
        return value, NUMBERS[value] if words and value < len(NUMBERS) and d.chance(0.4) else str(value)
    return Fact(keys, INTEGER, draw)


def _day(keys: str, first: int, last: int) -> Fact:
    """A date between two years."""
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        day = d.date(first, last)
        return day.isoformat(), spoken_date(day, d.rng.randint(0, 4))
    return Fact(keys, DATE, draw)


def _choice(keys: str, options: dict[Any, Any]) -> Fact:
    """One of a few values, each with its wording or wordings."""
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        value = d.one(list(options))
        said = options[value]
        return value, said if isinstance(said, str) else d.one(said)
    return Fact(keys, BOOLEAN if True in options else {"enum": list(options)}, draw)


def _several(keys: str, items: dict, words: dict[str, str]) -> Fact:
    """One to three of some values, each with its wording."""
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        values = d.rng.sample(list(words), d.rng.choice((1, 2, 2, 3)))
        return values, _listing([words[v] for v in values])
    return Fact(keys, {"type": "array", "items": items}, draw)


def _email(keys: str, owner: Optional[str] = None) -> Fact:
    """An e-mail address, of the person that another fact names or of anybody."""
    def draw(d: Draw, known: dict) -> tuple[Any, str]:
        address = d.email(known[owner] if owner else d.person())
        return address, address
    return Fact(keys, EMAIL, draw)


def _time(d: Draw, _: dict) -> tuple[Any, str]:
    if d.chance(0.4):
        hour = d.rng.randint(8, 22)
        return f"{hour:02d}:00", f"{hour % 12 or 12} {'am' if hour < 12 else 'pm'}"
    value = f"{d.rng.randint(8, 22):02d}:{d.rng.choice((0, 10, 15, 20, 30, 40, 45, 50)):02d}"
    return value, value


def _price(d: Draw, _: dict) -> tuple[Any, str]:
    value = d.price()
    return (int(value) if value.is_integer() else value), f"{value:.2f}" if d.chance(0.6) else f"{value:g}"


def _weight(d: Draw, _: dict) -> tuple[Any, str]:
    tenths = d.chance(0.8)
    value = d.rng.randint(1, 99) / 10 if tenths else d.rng.randint(1, 40)
    return value, str(value)


def _items(d: Draw, _: dict) -> tuple[Any, str]:
    items, said = [], []
    for _n in range(d.rng.choice((1, 2, 2, 3))):
        product, count = d.product(), d.rng.randint(1, 12)
        items.append({"product": product, "quantity": count})
        said.append(f"{NUMBERS[count] if d.chance(0.4) else count} {product}")
    return items, _listing(said)


def _listing(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


_MEMBER = {True: ("is a member", "is already a member"), False: ("is not a member", "is no member yet")}
_ONLINE = {True: ("takes place online", "is held online"), False: ("takes place on site", "is held on site")}
_STOCK = {True: ("is in stock", "is available now"), False: ("is out of stock", "is sold out")}
_EXPRESS = {True: ("goes by express", "is sent by express"), False: ("goes by normal post", "is sent by normal post")}
_PAID = {True: ("is paid", "has been paid"), False: ("is not paid yet", "is still unpaid")}
_KIND = {k: k for k in ("concert", "workshop", "conference", "meetup")}
_STATUS = {"open": "open", "shipped": ("shipped", "on its way"), "delivered": "delivered", "cancelled": "cancelled"}
_CURRENCY = {"EUR": ("euros", "EUR"), "USD": ("dollars", "USD"), "GBP": ("pounds", "GBP")}
_PRIORITY = {"low": ("low", "minor"), "medium": "medium", "high": ("high", "urgent")}
_CLASS = {"economy": "economy", "business": "business", "first": "first"}
_GENRE = {k: k for k in ("novel", "poetry", "history", "science")}
_COUNTRY = {"DE": "Germany", "FR": "France", "IT": "Italy", "ES": "Spain", "PL": "Poland", "US": "the United States"}

RECORDS: dict[str, Record] = {
    "person": Record("person", "name", {
        "name": _text("name full_name person", Draw.person),
        "age": _whole("age years", 18, 95),
        "email": _email("email mail contact_email", "name"),
        "city": _text("city town home", Draw.city),
        "street": _text("street address_line", Draw.street),
        "postcode": _text("postcode zip", Draw.postcode, {"type": "string", "pattern": "^[0-9]{5}$"}),
        "job": _text("job profession occupation", lambda d: d.one(WORDS["job"])),
        "company": _text("company employer", Draw.company),
        "born": _day("born birth_date birthday", 1940, 2006),
        "languages": _several("languages speaks", {"enum": list(LANGUAGES)}, LANGUAGES),
        "member": _choice("member is_member", _MEMBER),
    }, (
        "{name} is {age} years old.", "{name}, {age}, lives in {city}.", "{name} works as {job} at {company}.",
        "{name} was born on {born}.", "{name} lives at {street} in {city}.", "Meet {name}.", "This is {name}.",
        "{name} from {city} is a {job}.", "{name} can be reached at {email}.", "My name is {name}.",
        "{name} (born {born}) is {age}.", "{name} {member}.", "{name} speaks {languages}.",
        "{name} lives at {street}, {postcode} {city}.", "{name} is a {age} year old {job} from {city}.",
        "Our new colleague is called {name}.", "I talked to {name} today.", "{name} joined {company}.",
        "{P} is {age}.", "{P} is {age} years old.", "{P} turned {age} this year.", "{P} lives in {city}.",
        "{P} comes from {city}.", "{P} moved to {city}.", "{P} is a {job}.", "{P} works as {job}.",
        "{P} works for {company}.", "{P} is with {company}.", "{P} was born on {born}.", "Date of birth is {born}.",
        "{P} speaks {languages}.", "Spoken languages are {languages}.", "Write to {email}.", "{P} uses {email}.",
        "The email is {email}.", "{P} {member}.", "The address is {street}.", "{P} lives at {street}.",
        "The postcode is {postcode}.", "Post goes to {postcode}.", "{P} lives at {street}, {postcode} {city}.",
        "~Let me introduce {name}.", "~{name} is now {age} years of age.", "~You may know {name} from {city}.",
        "~{P} has reached the age of {age}.", "~{P} has settled in {city}.", "~{P} earns a living as {job}.",
        "~{P} has a post at {company}.", "~{P} came into the world on {born}.", "~{P} is fluent in {languages}.",
        "~Mail reaches {P} under {email}.", "~By the way, {P} {member}.", "~You find the house at {street}.",
        "~Letters need the code {postcode}.",
    ), {"address": ("street", "city", "postcode"), "contact": ("email", "city"), "work": ("job", "company")},
        ("She", "He")),
    "event": Record("event", "title", {
        "title": _text("title name event", Draw.gathering),
        "date": _day("date day on", 2024, 2030),
        "time": Fact("time starts start_time", STRING, _time),
        "city": _text("city place location", Draw.city),
        "attendees": _whole("attendees guests capacity", 10, 900),
        "speaker": _text("speaker host organizer", Draw.person),
        "kind": _choice("kind type category", _KIND),
        "online": _choice("online remote", _ONLINE),
        "price": Fact("price ticket_price fee", NUMBER, _price),
        "topics": _several("topics tags", STRING, {k: k for k in WORDS["topic"]}),
    }, (
        "{title} takes place in {city} on {date}.", "{title} is a {kind} in {city}.",
        "The {kind} {title} is on {date}.",
        "Come to {title}.", "We announce {title}.", "{title} starts at {time} on {date}.", "{title} {online}.",
        "{speaker} hosts {title}.", "Join us for {title} with {speaker}.",
        "{title} in {city} expects {attendees} guests.",
        "Tickets for {title} cost {price}.", "Save the date for {title}.", "{title} is about {topics}.",
        "The date is {date}.", "It is on {date}.", "It begins at {time}.", "Doors open at {time}.",
        "We meet in {city}.",
        "The place is {city}.", "{attendees} people are expected.", "There is room for {attendees}.",
        "{speaker} will speak.", "The host is {speaker}.", "It is a {kind}.", "Think of it as a {kind}.",
        "It {online}.",
        "A ticket is {price}.", "The fee is {price}.", "The topics are {topics}.", "It covers {topics}.",
        "~Mark your calendar for {title}.", "~Everybody talks about {title} in {city}.", "~Keep {date} free.",
        "~The clock strikes {time} when it opens.", "~All roads lead to {city}.", "~We count on {attendees} visitors.",
        "~On stage you will see {speaker}.", "~The format is that of a {kind}.", "~Note that it {online}.",
        "~Getting in costs {price}.", "~Expect talks on {topics}.",
    ), {"venue": ("city", "attendees"), "schedule": ("date", "time")}),
    "order": Record("order", "code", {
        "code": _text("id order_id number", Draw.code, label="order"),
        "customer": _text("customer buyer client", Draw.person),
        "items": Fact("items products lines", {"type": "array", "items": {
            "type": "object", "properties": {"product": STRING, "quantity": INTEGER},
            "required": ["product", "quantity"], "additionalProperties": False}}, _items),
        "total": Fact("total amount sum", NUMBER, _price),
        "currency": _choice("currency", _CURRENCY),
        "status": _choice("status state", _STATUS),
        "date": _day("date ordered_on placed", 2020, 2030),
        "express": _choice("express priority_mail", _EXPRESS),
        "paid": _choice("paid is_paid", _PAID),
        "city": _text("city ship_to destination", Draw.city),
    }, (
        "Order {code} was placed by {customer}.", "{customer} placed order {code}.", "Order {code} is {status}.",
        "Order {code} from {date} is {status}.", "{customer} bought {items} under {code}.",
        "This concerns order {code}.",
        "{code}: {customer} ordered {items}.", "We received order {code} on {date}.", "Order {code} {express}.",
        "The buyer is {customer}.", "{customer} is the customer.", "It contains {items}.", "The parcel holds {items}.",
        "The total is {total}.", "It comes to {total}.", "The sum of {total} is due.", "It was paid in {currency}.",
        "All prices are in {currency}.", "It is {status}.", "The status is {status}.", "It was placed on {date}.",
        "It dates from {date}.", "It {express}.", "The parcel {express}.", "It {paid}.", "The bill {paid}.",
        "It goes to {city}.", "Deliver it to {city}.", "The total is {total} {currency}.",
        "~Regarding {code} we can report this.", "~On behalf of {customer} we filed {code}.",
        "~The person behind it is {customer}.", "~Inside the box are {items}.", "~Altogether that makes {total}.",
        "~Amounts are given in {currency}.", "~At the moment it is {status}.", "~The day of purchase was {date}.",
        "~Please note that it {express}.", "~The invoice {paid}.", "~The truck drives to {city}.",
    ), {"payment": ("total", "currency"), "shipping": ("city", "express")}),
    "address": Record("address", "name", {
        "name": _text("name recipient to", Draw.person),
        "company": _text("company organisation", Draw.company),
        "street": _text("street line1", Draw.street),
        "city": _text("city town", Draw.city),
        "postcode": _text("postcode zip postal_code", Draw.postcode),
        "country": _choice("country", _COUNTRY),
        "floor": _whole("floor level", 1, 30),
    }, (
        "Send it to {name}, {street}, {postcode} {city}.", "{name} has moved to {street} in {city}.",
        "Deliver to {name}.",
        "Please ship this to {name} at {company}.", "{name}, {company}, {street}, {city}.", "The parcel is for {name}.",
        "{name}, {street}, {postcode} {city}.", "{name} now lives in {city}.",
        "The street is {street}.", "Go to {street}.", "It is in {city}.", "The city is {city}.",
        "The postcode is {postcode}.", "The code is {postcode}.", "This is in {country}.", "The country is {country}.",
        "The firm is {company}.", "Ask at {company}.", "It is on floor {floor}.", "Take the lift to floor {floor}.",
        "~Kindly hand this over to {name}.", "~The doorbell says {name}.", "~You will find {street} on the map.",
        "~The town is called {city}.", "~Use {postcode} on the label.", "~We are talking about {country}.",
        "~The sign reads {company}.", "~Climb up to level {floor}.",
    ), {"place": ("street", "city", "postcode"), "office": ("company", "floor")}),
    "product": Record("product", "name", {
        "name": _text("name product title", Draw.product),
        "price": Fact("price cost", NUMBER, _price),
        "currency": _choice("currency", _CURRENCY),
        "colour": _choice("colour color", {k: k for k in WORDS["colour"]}),
        "weight": Fact("weight weight_kg", NUMBER, _weight),
        "stock": _choice("in_stock available", _STOCK),
        "rating": _whole("rating stars", 1, 5, True),
        "sku": _text("sku code article", Draw.code),
        "maker": _text("maker brand manufacturer", Draw.company),
        "warranty": _whole("warranty warranty_years", 1, 10, True),
    }, (
        "The {name} costs {price}.", "The {name} by {maker} costs {price}.", "We sell a {name}.",
        "The {name} is {colour}.",
        "The {name} {stock}.", "New in the shop: {name}.", "A {name} from {maker}.", "The {name} weighs {weight} kg.",
        "Article {sku} is a {name}.", "The {name} got {rating} stars.", "The {name} costs {price} {currency}.",
        "It costs {price}.", "The price is {price}.", "Prices are in {currency}.", "You pay in {currency}.",
        "It comes in {colour}.", "The colour is {colour}.", "It weighs {weight} kg.", "The weight is {weight} kg.",
        "It {stock}.", "At present it {stock}.", "Buyers gave it {rating} stars.", "It has {rating} stars.",
        "The article number is {sku}.", "It is listed as {sku}.", "It is made by {maker}.", "The brand is {maker}.",
        "It has {warranty} years of warranty.", "The warranty is {warranty} years.",
        "~Have a look at our {name}.", "~You can have it for {price}.", "~We charge in {currency}.",
        "~Its surface is {colour}.", "~On the scales it shows {weight} kg.", "~Good to know that it {stock}.",
        "~Reviewers awarded {rating} stars.", "~Look for {sku} in the catalogue.", "~It leaves the factory of {maker}.",
        "~For {warranty} years repairs are free.",
    ), {"offer": ("price", "currency"), "details": ("colour", "weight")}),
    "trip": Record("trip", "passenger", {
        "passenger": _text("passenger traveller name", Draw.person),
        "start": _text("from origin departure", Draw.city, label="from"),
        "goal": _text("to destination arrival", Draw.city, label="to"),
        "date": _day("date travel_date leaves_on", 2024, 2030),
        "time": Fact("time leaves", STRING, _time),
        "cabin": _choice("class cabin", _CLASS),
        "seats": _whole("seats passengers tickets", 1, 12, True),
        "code": _text("booking reference code", Draw.code, label="booking"),
        "price": Fact("price fare", NUMBER, _price),
    }, (
        "{passenger} travels from {start} to {goal}.", "{passenger} flies to {goal} on {date}.",
        "Booking {code} is for {passenger}.", "{passenger} booked {seats} seats.", "A trip for {passenger}.",
        "{passenger} takes the train from {start} to {goal} at {time}.", "{passenger} goes to {goal}.",
        "{passenger} leaves {start} on {date}.", "The trip starts in {start}.", "Departure is from {start}.",
        "The destination is {goal}.", "The journey ends in {goal}.", "The date is {date}.", "It is on {date}.",
        "It leaves at {time}.", "Departure is at {time}.", "The class is {cabin}.", "It is in {cabin} class.",
        "{seats} seats are booked.", "We need {seats} tickets.", "The booking is {code}.", "The reference is {code}.",
        "The fare is {price}.", "It costs {price}.",
        "~{passenger} is about to travel.", "~The tour sets off in {start}.", "~The final stop is {goal}.",
        "~Bags must be packed by {date}.", "~Wheels roll at {time}.", "~The cabin is {cabin}.",
        "~{seats} places were reserved.", "~Quote {code} when you call.", "~We paid {price} for it.",
    ), {"route": ("start", "goal"), "when": ("date", "time")}),
    "ticket": Record("ticket", "subject", {
        "subject": _text("subject problem summary", Draw.trouble),
        "reporter": _text("reporter user reported_by", Draw.person),
        "priority": _choice("priority severity", _PRIORITY),
        "code": _text("id ticket ticket_id", Draw.code, label="ticket"),
        "date": _day("date opened reported_on", 2020, 2030),
        "email": _email("email contact"),
        "affected": _whole("affected users users_affected", 1, 400),
        "assignee": _text("assignee owner assigned_to", Draw.person),
    }, (
        "{reporter} reports that the {subject}.", "Ticket {code}: {subject}.", "Since {date} the {subject}.",
        "The {subject} for {affected} users.", "The {subject}, says {reporter}.", "Again the {subject}.",
        "It was reported by {reporter}.", "The reporter is {reporter}.", "The priority is {priority}.",
        "This is {priority} priority.", "The ticket is {code}.", "It is filed as {code}.", "It was opened on {date}.",
        "It happened on {date}.", "Contact {email}.", "Answer to {email}.", "{affected} users are affected.",
        "It hits {affected} users.", "{assignee} takes care of it.", "It is assigned to {assignee}.",
        "~We hear that the {subject}.", "~Word came from {reporter}.", "~Treat it with {priority} urgency.",
        "~Look it up under {code}.", "~The log starts on {date}.", "~Send updates to {email}.",
        "~No fewer than {affected} users complain.", "~The matter is in the hands of {assignee}.",
    ), {"people": ("reporter", "assignee"), "source": ("reporter", "email")}),
    "book": Record("book", "title", {
        "title": _text("title name book", Draw.work),
        "author": _text("author writer by", Draw.person),
        "year": _whole("year published", 1900, 2026),
        "pages": _whole("pages page_count", 80, 900),
        "genre": _choice("genre kind", _GENRE),
        "publisher": _text("publisher press", Draw.company),
        "language": _choice("language lang", LANGUAGES),
        "price": Fact("price", NUMBER, _price),
        "rating": _whole("rating stars", 1, 5, True),
    }, (
        "{author} wrote {title} in {year}.", "{title} by {author} has {pages} pages.", "I read {title}.",
        "{title} appeared in {year}.", "{title} is a work of {genre}.", "{title} was published by {publisher}.",
        "{author} is the author of {title}.", "We recommend {title}.", "The author is {author}.",
        "It was written by {author}.", "It was published in {year}.", "It came out in {year}.", "It has {pages} pages.",
        "The length is {pages} pages.", "The genre is {genre}.", "You find it under {genre}.",
        "The publisher is {publisher}.", "It is from {publisher}.", "It is in {language}.",
        "The language is {language}.",
        "It costs {price}.", "The price is {price}.", "Readers gave {rating} stars.", "It has {rating} stars.",
        "~On my shelf stands {title}.", "~The name on the cover is {author}.", "~The first edition is from {year}.",
        "~It takes {pages} pages to the end.", "~Librarians file it as {genre}.", "~It was printed for {publisher}.",
        "~The text is in {language}.", "~Shops ask {price} for it.", "~Critics gave it {rating} stars.",
    ), {"edition": ("publisher", "year"), "details": ("pages", "language")}),
}
