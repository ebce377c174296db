"""Names and numbers: large spaces, each split for good into a part for training and a part held out.

A name belongs to the held-out part if its hash says so, so the two parts are
disjoint whatever is drawn.  Most names are put together from syllables: nobody
can know them by heart, a model has to copy them.
"""

from __future__ import annotations

import datetime
import hashlib
import random
from typing import Callable, Sequence

__all__ = ["Draw", "is_held_out", "WORDS"]


def is_held_out(text: str, share: int = 8) -> bool:
    """Does this name, word pair or schema belong to the held-out part (one in `share`)?

    Examples
    --------
    >>> is_held_out("Marlowe"), is_held_out("Marlowe", 1)
    (False, True)
    """
    return hashlib.blake2b(text.encode(), digest_size=4).digest()[0] * share < 256


_ONSETS = ("b br c ch d dr f g gr h j k kl l m n p pr r s sh st t th tr v w z").split()
_VOWELS = ("a e i o u ai ea ia ou").split()
_CODAS = ("", "", "", "l", "n", "r", "s", "m", "x", "nd", "rt", "ck")
_FIRST = ("Ada Alan Grace Emil Anna Boris Clara David Elena Felix Greta Hugo Ines Jonas Karin Liam Maya Nora Oscar "
          "Paula Quentin Rosa Simon Tara Ulrich Vera Walter Yara Zoe Amir Bianca Chen Dmitri Esther Farid Gloria Hana "
          "Ivan Julia Kenji Lucia Marco Nadia Omar Petra Rafael Sofia Tomas Uma Victor Wanda Lena Peter "
          "Maria Carl").split()
_LAST = ("Lovelace Turing Hopper Noether Euler Gauss Weber Rossi Novak Silva Moreau Jensen Kowalski Tanaka Singh "
         "Okafor Murphy Fischer Garcia Lindqvist Petrov Haddad Nguyen Costa Meyer Dubois Larsen Bianchi Horvat Kim "
         "Patel Brown Young Carter Baker Stone Rivers Woods Hill Marsh").split()
_CITY = ("London Paris Kyoto Zurich Lisbon Oslo Madrid Vienna Prague Dublin Boston Denver Toronto Sydney Nairobi Cairo "
         "Lima Bogota Delhi Seoul Hanoi Athens Rome Milan Turin Berlin Hamburg Munich Bremen Krakow Porto Lyon Nantes "
         "Geneva Basel Bergen Malmo Ghent Leeds Bristol").split()
_CITY_ENDS = ("ton ville burg field ford stad port haven mouth wick dale more").split()
_STREET_ENDS = ("Street Road Lane Avenue Way Square Drive Court").split()
_COMPANY_ENDS = ("Labs Systems Motors Foods Media Partners Works Bank Press Energy Robotics Studios").split()
_DOMAINS = ("example.org example.com mail.net post.io inbox.dev".split())

WORDS: dict[str, list[str]] = {
    "adjective": ("red blue green black white small large light heavy wireless folding wooden leather cotton steel "
                  "ceramic electric portable waterproof compact classic modern soft round garden travel kitchen "
                  "office silent digital solar vintage padded striped slim deluxe").split(),
    "noun": ("lamp chair desk keyboard mouse bottle backpack jacket kettle camera speaker blanket notebook clock "
             "mirror drill tent scarf helmet wallet monitor printer pillow shelf basket umbrella toaster mug "
             "charger bicycle guitar pan tripod cable heater fan sofa rug vase hammer").split(),
    "topic": ("climate robotics music history compilers gardening chess astronomy medicine finance painting poetry "
              "networks privacy cooking architecture statistics languages photography energy oceans logic design "
              "farming genetics cinema dance optics pottery sailing").split(),
    "genre": ("winter summer spring autumn annual open northern southern global young night harbour silver golden "
              "second third royal urban quiet hidden lost broken distant burning frozen secret endless").split(),
    "thing": ("forest river mountain garden island mirror letter door stone bridge castle shadow road tower lantern "
              "window ship crown field storm song clock map key journey house star orchard valley").split(),
    "colour": ("red blue green black white yellow silver purple").split(),
    "job": ("engineer teacher nurse pilot baker lawyer chemist editor plumber architect analyst farmer designer "
            "translator manager librarian mechanic surgeon actor accountant").split(),
    "problem": ("login screen printer invoice password backup network battery upload payment export search "
                "update calendar headset").split(),
    "symptom": ("fails crashes freezes flickers disappears repeats stops overheats hangs restarts").split(),
}
MONTHS = ("January February March April May June July August September October November December").split()


class Draw:
    """Random values for texts, from the training part or the held-out part of every space of names.

    Parameters
    ----------
    rng : random.Random
        Where the randomness comes from.
    held_out : bool
        Whether names come from the held-out part.
    """

    def __init__(self, rng: random.Random, held_out: bool = False):
        self.rng = rng
        self.held_out = held_out

    def split(self, make: Callable[[], str]) -> str:
        """Draw until the name is of the wanted part."""
        for _ in range(400):
            text = make()
            if is_held_out(text) == self.held_out:
                return text
        raise RuntimeError("a space of names too small to hold a part out")

    def one(self, words: Sequence[str]) -> str:
        """One of `words`, the same for both parts."""
        return self.rng.choice(words)

    def chance(self, p: float) -> bool:
        """True with probability `p`."""
        return self.rng.random() < p

    def _syllables(self, least: int, most: int) -> str:
        pick = self.rng.choice
        out = "".join(pick(_ONSETS) + pick(_VOWELS) for _ in range(self.rng.randint(least, most)))
        return (out + pick(_CODAS)).capitalize()

    def _word(self, least: int, most: int) -> str:
        """A capitalised word of syllables; in training one in four is of any letters.

        A vocabulary of subwords spells most names by few, frequent tokens; without the
        words of any letters the rare ones are never copied in training.
        """
        if self.held_out or not self.chance(0.25):
            return self._syllables(least, most)
        vowel, out = self.chance(0.5), ""
        while len(out) < 3 or self.chance(0.75) and len(out) < 10:
            out += self.rng.choice("aeiouy" if vowel else "bcdfghjklmnpqrstvwxz")
            vowel ^= self.chance(0.8)
        return out.capitalize()

    def first_name(self) -> str:
        """A given name."""
        return self.split(lambda: self.one(_FIRST) if self.chance(0.35) else self._word(1, 2))

    def last_name(self) -> str:
        """A family name."""
        return self.split(lambda: self.one(_LAST) if self.chance(0.25) else self._word(1, 3))

    def person(self) -> str:
        """Given and family name."""
        return f"{self.first_name()} {self.last_name()}"

    def city(self) -> str:
        """A place."""
        return self.split(lambda: self.one(_CITY) if self.chance(0.35)
                          else self._word(1, 2) + (self.one(_CITY_ENDS) if self.chance(0.3) else ""))

    def street(self) -> str:
        """A street with a house number, as ``12 Tarvo Lane``."""
        return f"{self.rng.randint(1, 199)} " + self.split(lambda: f"{self._word(1, 2)} {self.one(_STREET_ENDS)}")

    def company(self) -> str:
        """A company."""
        return self.split(lambda: f"{self._word(1, 2)} {self.one(_COMPANY_ENDS)}")

    def product(self) -> str:
        """Two words for a thing to sell."""
        return self.split(lambda: f"{self.one(WORDS['adjective'])} {self.one(WORDS['noun'])}")

    def gathering(self) -> str:
        """The title of an event."""
        return self.split(lambda: f"{self.one(WORDS['genre'])} {self.one(WORDS['topic'])}".title())

    def work(self) -> str:
        """The title of a book or film."""
        return self.split(lambda: ("The " if self.chance(0.5) else "")
                          + f"{self.one(WORDS['genre'])} {self.one(WORDS['thing'])}".title())

    def trouble(self) -> str:
        """What a ticket is about."""
        return self.split(lambda: f"{self.one(WORDS['problem'])} {self.one(WORDS['symptom'])}")

    def code(self) -> str:
        """An identifier, as ``KD-4071``."""
        letters = "".join(self.rng.choice("ABCDEFGHKLMNPRSTVX") for _ in range(2))
        return f"{letters}-{self.rng.randint(1000, 9999)}"

    def postcode(self) -> str:
        """Five digits."""
        return f"{self.rng.randint(10000, 99999)}"

    def email(self, person: str) -> str:
        """An address for a person."""
        first, last = person.lower().split(" ")
        local = self.one((f"{first}.{last}", f"{last}", f"{first}", f"{first}{self.rng.randint(1, 99)}"))
        return f"{local}@{self.one(_DOMAINS)}"

    def date(self, first: int = 1950, last: int = 2030) -> datetime.date:
        """A day between two years."""
        return datetime.date(self.rng.randint(first, last), self.rng.randint(1, 12), self.rng.randint(1, 28))

    def price(self) -> float:
        """An amount with at most two decimals, the last of them not 0."""
        whole = self.rng.randint(1, 999)
        return whole + self.rng.choice((0.5, 0.25, 0.75, 0.95, 0.99, 0.49)) if self.chance(0.7) else float(whole)


def spoken_date(d: datetime.date, style: int) -> str:
    """A date in one of several ways of writing."""
    month = MONTHS[d.month - 1]
    return (f"{d.day} {month} {d.year}", f"{month} {d.day}, {d.year}", d.isoformat(),
            f"{d.day:02d}.{d.month:02d}.{d.year}",
            f"the {d.day}{_ordinal(d.day)} of {month} {d.year}")[style]


def _ordinal(day: int) -> str:
    return "th" if 10 <= day <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
