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


def _text(make: Callable[[Draw], str]) -> Callable[[Draw, dict], tuple[Any, str]]:
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        value = make(d)
        return value, value
    return draw


def _int(low: int, high: int, words: bool = False) -> Callable[[Draw, dict], tuple[Any, str]]:
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        value = d.rng.randint(low, high)
        return value, NUMBERS[value] if words and value < len(NUMBERS) and d.chance(0.4) else str(value)
    return draw


def _date(first: int, last: int) -> Callable[[Draw, dict], tuple[Any, str]]:
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        day = d.date(first, last)
        return day.isoformat(), spoken_date(day, d.rng.randint(0, 4))
    return draw


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


def _enum(options: dict[Any, Any]) -> Callable[[Draw, dict], tuple[Any, str]]:
    def draw(d: Draw, _: dict) -> tuple[Any, str]:
        value = d.one(list(options))
        said = options[value]
        return value, said if isinstance(said, str) else d.one(said)
    return draw


def _languages(d: Draw, _: dict) -> tuple[Any, str]:
    codes = d.rng.sample(list(LANGUAGES), d.rng.choice((1, 2, 2, 3)))
    return codes, _listing([LANGUAGES[c] for c in codes])


def _topics(d: Draw, _: dict) -> tuple[Any, str]:
    topics = d.rng.sample(WORDS["topic"], d.rng.choice((1, 2, 2, 3)))
    return topics, _listing(topics)


def _items(d: Draw, _: dict) -> tuple[Any, str]:
    items, said = [], []
    for _n in range(d.rng.choice((1, 2, 2, 3))):
        product, count = d.product(), d.rng.randint(1, 12)
        items.append({"product": product, "quantity": count})
        said.append(f"{NUMBERS[count] if d.chance(0.4) else count} {product}")
    return items, _listing(said)


def _listing(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _options(values: dict) -> dict:
    return {"enum": list(values)}


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
        "name": Fact("name full_name person", STRING, _text(Draw.person)),
        "age": Fact("age years", INTEGER, _int(18, 95)),
        "email": Fact("email mail contact_email", EMAIL, lambda d, r: (lambda e: (e, e))(d.email(r["name"]))),
        "city": Fact("city town home", STRING, _text(Draw.city)),
        "street": Fact("street address_line", STRING, _text(Draw.street)),
        "postcode": Fact("postcode zip", {"type": "string", "pattern": "^[0-9]{5}$"}, _text(Draw.postcode)),
        "job": Fact("job profession occupation", STRING, _text(lambda d: d.one(WORDS["job"]))),
        "company": Fact("company employer", STRING, _text(Draw.company)),
        "born": Fact("born birth_date birthday", DATE, _date(1940, 2006)),
        "languages": Fact("languages speaks", {"type": "array", "items": _options(LANGUAGES)}, _languages),
        "member": Fact("member is_member", BOOLEAN, _enum(_MEMBER)),
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
        "title": Fact("title name event", STRING, _text(Draw.gathering)),
        "date": Fact("date day on", DATE, _date(2024, 2030)),
        "time": Fact("time starts start_time", STRING, _time),
        "city": Fact("city place location", STRING, _text(Draw.city)),
        "attendees": Fact("attendees guests capacity", INTEGER, _int(10, 900)),
        "speaker": Fact("speaker host organizer", STRING, _text(Draw.person)),
        "kind": Fact("kind type category", _options(_KIND), _enum(_KIND)),
        "online": Fact("online remote", BOOLEAN, _enum(_ONLINE)),
        "price": Fact("price ticket_price fee", NUMBER, _price),
        "topics": Fact("topics tags", {"type": "array", "items": STRING}, _topics),
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
        "code": Fact("id order_id number", STRING, _text(Draw.code), "order"),
        "customer": Fact("customer buyer client", STRING, _text(Draw.person)),
        "items": Fact("items products lines", {"type": "array", "items": {
            "type": "object", "properties": {"product": STRING, "quantity": INTEGER},
            "required": ["product", "quantity"], "additionalProperties": False}}, _items),
        "total": Fact("total amount sum", NUMBER, _price),
        "currency": Fact("currency", _options(_CURRENCY), _enum(_CURRENCY)),
        "status": Fact("status state", _options(_STATUS), _enum(_STATUS)),
        "date": Fact("date ordered_on placed", DATE, _date(2020, 2030)),
        "express": Fact("express priority_mail", BOOLEAN, _enum(_EXPRESS)),
        "paid": Fact("paid is_paid", BOOLEAN, _enum(_PAID)),
        "city": Fact("city ship_to destination", STRING, _text(Draw.city)),
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
        "name": Fact("name recipient to", STRING, _text(Draw.person)),
        "company": Fact("company organisation", STRING, _text(Draw.company)),
        "street": Fact("street line1", STRING, _text(Draw.street)),
        "city": Fact("city town", STRING, _text(Draw.city)),
        "postcode": Fact("postcode zip postal_code", STRING, _text(Draw.postcode)),
        "country": Fact("country", _options(_COUNTRY), _enum(_COUNTRY)),
        "floor": Fact("floor level", INTEGER, _int(1, 30)),
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
        "name": Fact("name product title", STRING, _text(Draw.product)),
        "price": Fact("price cost", NUMBER, _price),
        "currency": Fact("currency", _options(_CURRENCY), _enum(_CURRENCY)),
        "colour": Fact("colour color", _options({k: 0 for k in WORDS["colour"]}),
                       _text(lambda d: d.one(WORDS["colour"]))),
        "weight": Fact("weight weight_kg", NUMBER, _weight),
        "stock": Fact("in_stock available", BOOLEAN, _enum(_STOCK)),
        "rating": Fact("rating stars", INTEGER, _int(1, 5, True)),
        "sku": Fact("sku code article", STRING, _text(Draw.code)),
        "maker": Fact("maker brand manufacturer", STRING, _text(Draw.company)),
        "warranty": Fact("warranty warranty_years", INTEGER, _int(1, 10, True)),
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
        "passenger": Fact("passenger traveller name", STRING, _text(Draw.person)),
        "start": Fact("from origin departure", STRING, _text(Draw.city), "from"),
        "goal": Fact("to destination arrival", STRING, _text(Draw.city), "to"),
        "date": Fact("date travel_date leaves_on", DATE, _date(2024, 2030)),
        "time": Fact("time leaves", STRING, _time),
        "cabin": Fact("class cabin", _options(_CLASS), _enum(_CLASS)),
        "seats": Fact("seats passengers tickets", INTEGER, _int(1, 12, True)),
        "code": Fact("booking reference code", STRING, _text(Draw.code), "booking"),
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
        "subject": Fact("subject problem summary", STRING, _text(Draw.trouble)),
        "reporter": Fact("reporter user reported_by", STRING, _text(Draw.person)),
        "priority": Fact("priority severity", _options(_PRIORITY), _enum(_PRIORITY)),
        "code": Fact("id ticket ticket_id", STRING, _text(Draw.code), "ticket"),
        "date": Fact("date opened reported_on", DATE, _date(2020, 2030)),
        "email": Fact("email contact", EMAIL, lambda d, r: (lambda e: (e, e))(d.email(d.person()))),
        "affected": Fact("affected users users_affected", INTEGER, _int(1, 400)),
        "assignee": Fact("assignee owner assigned_to", STRING, _text(Draw.person)),
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
        "title": Fact("title name book", STRING, _text(Draw.work)),
        "author": Fact("author writer by", STRING, _text(Draw.person)),
        "year": Fact("year published", INTEGER, _int(1900, 2026)),
        "pages": Fact("pages page_count", INTEGER, _int(80, 900)),
        "genre": Fact("genre kind", _options(_GENRE), _enum(_GENRE)),
        "publisher": Fact("publisher press", STRING, _text(Draw.company)),
        "language": Fact("language lang", _options(LANGUAGES), _enum(LANGUAGES)),
        "price": Fact("price", NUMBER, _price),
        "rating": Fact("rating stars", INTEGER, _int(1, 5, True)),
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
