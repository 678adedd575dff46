"""Random damage to files."""

import json
import re
import struct

#: Values of wrong types, too large, or missing.
NASTY = [
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "x", "../../x", "/etc/passwd", "a\0b", "..", "NaN", "1e999", "é" * 300, [], {}, [[]]),
]
_WORDS = "nan inf -inf 1e999 -1 0 99999999999999999999 null true [] {} ~ !!int &a *a ../x \0 '' \""


def damage_bytes(rng, content):
    """Changes, deletes, repeats or inserts bytes, one to eight times, most often once."""
    content = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 1, 2, 3, 8]))):
        if not content:
            break
        # The ends, where headers are, are damaged more often.
        near = min(len(content), 64)
        places = rng.integers(near), rng.integers(len(content)), -rng.integers(near)
        place = int(rng.choice(places)) % len(content)
        length = int(rng.integers(1, 1 + min(64, len(content) - place)))
        how = rng.integers(7)
        if how == 0:
            content[place] ^= 1 << int(rng.integers(8))
        elif how == 1:
            content[place] = int(rng.integers(256))
        elif how == 2:
            del content[place : place + length]
        elif how == 3:
            content[place:place] = content[place : place + length]
        elif how == 4:
            content[place:place] = rng.bytes(length)
        elif how == 5:
            number = int(rng.choice([0, 1, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]))
            content[place : place + 4] = struct.pack(rng.choice(["<I", ">I"]), number)
        elif rng.random() < 0.3:
            del content[place:]
    return bytes(content)


def damage_text(rng, content):
    """Replaces words or numbers of a text, or damages its bytes."""
    if rng.random() < 0.35:
        return damage_bytes(rng, content)
    text = content.decode("utf-8", "replace")
    for _ in range(int(rng.integers(1, 4))):
        spans = [match.span() for match in re.finditer(r"[\w.+-]+", text)]
        if not spans:
            break
        start, stop = spans[int(rng.integers(len(spans)))]
        text = text[:start] + str(rng.choice(_WORDS.split(" "))) + text[stop:]
    how = rng.random()
    if how < 0.05:
        return text.encode("utf-16")
    if how < 0.1:
        return b"\xef\xbb\xbf" + text.encode("utf-8", "surrogatepass")
    if how < 0.15:
        return (text * 3).encode()
    return text.encode("utf-8", "surrogatepass")


def damage_json(rng, content):
    """Replaces, removes or adds values of a JSON file, or damages its text."""
    if rng.random() < 0.3:
        return damage_text(rng, content)
    value = json.loads(content)
    for _ in range(int(rng.integers(1, 4))):
        value = damage_value(rng, value)
    return json.dumps(value).encode()


def damage_value(rng, value, depth=0):
    """Replaces, removes or adds a value at any depth."""
    if isinstance(value, (dict, list)) and value and rng.random() > 0.15 * depth:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[int(rng.integers(len(keys)))]
        how = rng.integers(8)
        if how == 0:
            del value[key]
        elif how == 1 and isinstance(value, list):
            value.append(value[key])
        elif how == 1:
            value[str(_nasty(rng))] = value[key]
        else:
            value[key] = damage_value(rng, value[key], depth + 1)
        return value
    return _nasty(rng)


def _nasty(rng):
    return json.loads(json.dumps(NASTY[int(rng.integers(len(NASTY)))]))
