"""A text cut into tokens: words, words of asking, places and negation, separators."""

from __future__ import annotations

import enum
import re
import unicodedata
from dataclasses import dataclass

from napari_pathseg.vocabulary.matching import fold, normal_word, normal_words, word_set


class Kind(enum.Enum):
    """What a token does in a sentence."""

    WORD = "may be part of a name"
    QUALIFIER = "tells how a thing looks, not what it is"
    NOUN = "a noun without a meaning of its own"
    FILLER = "says nothing about the term"
    AROUND = "begins a place: what follows is not asked"
    BESIDE = "begins a place after a term, else tells how a thing looks"
    OF = "begins a place after a term"
    NOT = "begins what is not wanted"
    BUT = "ends what is not wanted"
    AND = "joins"
    BREAK = "ends a part"
    STRANGE = "no word at all"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text with its place in it and its normal form."""

    kind: Kind
    text: str
    normal: str
    start: int
    end: int


_FILLERS = word_set(
    """
    a an the all every each any some this these those that which who is are was were be been
    being do does have has had can could would should will please kindly i me my we us our
    you your it its them their there here want wants need needs like to get give let make
    take segment segments segmenting segmentation outline outlines outlining find finds
    finding show shows showing mark marks marking annotate annotating detect detecting
    highlight highlighting label labels labelling labeling identify locate draw drawing
    select selecting delineate delineating trace contour contours mask masks count counting
    measure measuring quantify pick see look looking search extract map visualise visualize
    colour color paint include including only just also both exactly everything clearly
    visible present individual single separate whole entire complete full one ones many
    several few following slide slides image images picture field section sections specimen
    sample biopsy view screen case patient now again piece pieces kind kinds type types
    boundary boundaries border borders pathology histology thanks thank how where
    then first finally everywhere anywhere overall
    """
)
_NOUNS = word_set(
    """
    tissue area region zone component compartment focus part structure layer mass nest plate
    fiber bundle sheet cluster island cord strand lesion
    """
)
_QUALIFIERS = word_set(
    """
    small large big tiny huge enlarged prominent round oval irregular elongated long short thin
    thick flat tall wide narrow dense loose sparse scattered isolated clustered packed crowded
    dilated collapsed open branching dark pale light bright faint deep superficial central
    peripheral outer inner upper lower left right fresh intact pink red purple blue brown white
    stained unstained abundant numerous focal diffuse confluent viable residual little plump
    slender swollen thickened thinned rounded angular hyperchromatic differentiated
    undifferentiated florid brisk mild moderate marked severe
    """
)
_AROUND = word_set(
    """
    in on at by per from with inside within around near beside besides between among
    amongst amid along alongside outside beyond under underneath beneath below above over
    across into onto toward towards through throughout
    """
)
_BESIDE = word_set(
    """
    nearby next surrounding surrounded adjacent neighboring neighbouring close bordering abutting
    touching infiltrating invading lining lined covering covered containing filled forming
    embedded located lying situated invaded infiltrated
    """
)
# Adverbs tell how, but these are none.
_NO_ADVERBS = word_set("anomaly assembly family")
_NOT = word_set(
    """
    not no without except excepting exclude excluding ignore ignoring minus omit omitting
    skip skipping neither nor never excludes
    """
)
_NOT_PHRASES = re.compile(
    r"\b(?:other than|apart from|aside from|leave out|leaving out|don't"
    r"|(?:all|everything|anything|anywhere) but(?! not))\b"
)
_AND = word_set(
    """
    and or plus und et as well & vs versus
    """
)

# Words that stand in prompts about tissue, though they name nothing there.
PROMPT_WORDS = _FILLERS | _NOUNS | _QUALIFIERS | _AROUND | _BESIDE | _NOT | _AND

_CODE = re.compile(r"[{}<>=*$\\]|://|--|(?:^|\s)[/~.]+\w*/")
_FILE = re.compile(
    r"\S\.(?:svs|tiff?|ndpi|mrxs|scn|bif|dcm|png|jpe?g|json|csv|txt|xml|py|exe|sh|com|org|net)\b",
    re.I,
)
# After a marker such as CD3, Ki-67 or CD138 a plus or minus is a word.
_MARKER = r"(?:(?<=[A-Za-z-]\d)|(?<=[A-Za-z-]\d\d)|(?<=[A-Za-z-]\d\d\d))"
_SIGNS = (
    (re.compile(_MARKER + r"(?:\s?\(\+\)|\s?\+ve\b|\+(?=\s|$|[,)]))"), "positive"),
    (re.compile(_MARKER + r"(?:\s?\([-−–]\)|\s?[-−–]ve\b|[-−–](?=\s|$|[,)]))"), "negative"),
    (re.compile(r"(?<=\b[A-Z]{2})\+(?=\s)"), "positive"),
)
_ABBREVIATIONS = {"pos": "positive", "neg": "negative", "ca": "carcinoma"}
# A word with its accents, hyphens and 's; "non" belongs to the word after it.
_LETTERS = r"[^\W_](?:[^\W_]|[\u0300-\u036f])*"
_PIECE = re.compile(
    rf"(?:\bnon\s+(?=\w))?{_LETTERS}(?:[-‐‑_]{_LETTERS})*(?:['’]\w+)?|\S", re.IGNORECASE
)


def looks_like_code(text: str) -> bool:
    """Whether a text is a path, an address or program code rather than words."""
    return bool(_CODE.search(text) or _FILE.search(text))


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs") and not char.isspace()


def lex(text: str) -> list[Token]:
    """The tokens of one sentence, in order.

    A sentence with control or direction characters, or one that looks like code, is one strange
    token: nothing in it is taken for a word.
    """
    if any(map(_is_control, text)) or looks_like_code(text):
        stripped = text.strip()
        start = text.index(stripped)
        return [Token(Kind.STRANGE, stripped, "", start, start + len(stripped))]
    return [_token(text, m.start(), m.end(), sign) for m, sign in _pieces(text)]


def _pieces(text: str) -> list[tuple[re.Match[str], str]]:
    """Pieces of the text in order; a sign after a marker stands for a word ("Ki-67+")."""
    pieces = [(match, word) for pattern, word in _SIGNS for match in pattern.finditer(text)]
    pieces += [(match, "not") for match in _NOT_PHRASES.finditer(text.lower())]
    taken = {i for match, _ in pieces for i in range(*match.span())}
    pieces += [(m, "") for m in _PIECE.finditer(text) if m.start() not in taken]
    return sorted(pieces, key=lambda piece: piece[0].start())


def _token(text: str, start: int, end: int, sign: str) -> Token:
    piece = text[start:end]
    if sign:
        kind = Kind.NOT if sign == "not" else Kind.WORD
        return Token(kind, piece, normal_word(sign), start, end)
    plain = fold(piece).replace("’", "'").removesuffix("'s")
    if not any(char.isalnum() for char in plain):
        return _sign_token(piece, plain, start, end)
    for kind, words in (
        (Kind.FILLER, _FILLERS),
        (Kind.AROUND, _AROUND),
        (Kind.BESIDE, _BESIDE),
        (Kind.OF, ("of",)),
        (Kind.NOT, _NOT),
        (Kind.AND, _AND),
        (Kind.BUT, ("but",)),
    ):
        if plain in words:
            return Token(kind, piece, normal_word(plain), start, end)
    normal = "".join(normal_words(piece))
    if len(plain) > 5 and plain.endswith("ly") and plain not in _NO_ADVERBS:
        return Token(Kind.FILLER, piece, normal, start, end)
    kind = Kind.NOUN if normal in _NOUNS else Kind.WORD
    if plain in _QUALIFIERS or plain.endswith("-stained"):
        kind = Kind.QUALIFIER
    return Token(kind, piece, _ABBREVIATIONS.get(normal, normal), start, end)


def _sign_token(piece: str, plain: str, start: int, end: int) -> Token:
    if plain in ("&", "+"):
        return Token(Kind.AND, piece, "and", start, end)
    # Punctuation and lone accents only part words; any other sign is nothing we know.
    known = unicodedata.category(piece[0])[0] in "PM" or plain in ("|", "`", "´", "")
    return Token(Kind.BREAK if known else Kind.STRANGE, piece, "", start, end)
