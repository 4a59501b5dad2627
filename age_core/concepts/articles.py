"""The article of a noun in a prompt: as English has it, by sound; or as the captions of the emoji model have it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

Article = Callable[[str], str]  # a noun's article, "" where it takes none
VOWELS = frozenset("aeiou")
SPELLED_WITH_AN = frozenset("aefhilmnorsx")  # letters whose names begin with a vowel
# Words that are spelled with a vowel and said with a consonant, and the other way round; as they begin.
SAID_WITH_A = re.compile(
    r"eu|ewe|on(e|ce)(?![a-z])|onesie|oui|u(biq|gand|kr|kul|nan|ra[ln]|rin|rolog|s[aeiu]|tah|te[nr]|til|top|vul)"
    r"|uni(?!n|mp|mag|dent)"
)
SAID_WITH_AN = re.compile(r"hour|heir|honest|honou?r|8|1[18](?!\d)|1[18]\d\d(?!\d)")
# What ends like a plural and is none (-ss, -us and -is are passed over anyway); what does not, or cannot be counted;
# small words in names.
SINGULAR = re.compile(r"alias|asbestos|atlas|(bi|tri)ceps|canvas|chaos|christmas|cosmos|gas|lens|rhinoceros|thermos")
WITHOUT = re.compile(
    r"bread|children|feet|furniture|geese|grass|hair|honey|jewell?e?ry|luggage|men|mice|milk|money|music|people|police"
    r"|rain|rice|sand|series|smoke|snow|species|teeth|water|women"
)
PARTICLE = re.compile(r"bin|d[aeiu]|dell?a?|der|el|ibn|la|le|te[nr]|v[ao]n")
DETERMINED = re.compile(r"(an?|the|some|my|your|his|her|our|their|two|three|four|five) ", re.IGNORECASE)


def by_sound(noun: str) -> str:
    """ "a", "an", or "" before plurals, what cannot be counted, people's names, and where one stands there already."""
    words = noun.split()
    if not words or DETERMINED.match(noun) or _is_plural(words[-1].casefold()) or _is_name(words):
        return ""
    plain = "".join(c for c in unicodedata.normalize("NFKD", noun) if not unicodedata.combining(c))
    first = re.search(r"[^\W_]+", plain)  # past quotation marks and the like
    if first is None:
        return "a"
    word = first.group()
    lower = word.lower()
    spelled = len(word) == 1 or (word.isupper() and (len(word) < 4 or VOWELS.isdisjoint(lower)))
    if spelled and word.isalpha():  # "X-ray", "UFO", "HTML"; but "NASA" is a word
        vowel = lower[0] in SPELLED_WITH_AN
    else:
        said = plain[first.start() :].lower()
        vowel = bool(SAID_WITH_AN.match(said)) or (lower[0] in VOWELS and not SAID_WITH_A.match(said))
    return "an" if vowel else "a"


def by_letter(noun: str) -> str:
    """As the captions have it that the emoji model was trained on: "an unicorn", "a hourglass", "a scissors"."""
    return "an" if noun[:1].lower() in VOWELS and noun else "a"


def _is_plural(word: str) -> bool:
    ends = word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return bool(WITHOUT.fullmatch(word)) or (ends and len(word) > 2 and not SINGULAR.fullmatch(word))


def _is_name(words: list[str]) -> bool:
    """Whether they are surely somebody's name: with a particle, an initial or a capital inside a word.

    Capitals alone do not tell: lists of labels write "Golden Retriever", too.
    """
    parts = [word for word in words if not PARTICLE.fullmatch(word.casefold())]
    if len(words) < 2 or not parts or not all(part[:1].isupper() for part in parts):
        return False
    marked = any(re.fullmatch(r"[A-Z]\.|[A-Z][a-z]+[A-Z][a-z]+.*", part) for part in parts)
    return marked or len(parts) < len(words)
