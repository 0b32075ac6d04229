"""Checksums of FITS, of a file that is written piece by piece (FITS standard 4.0, appendix J)."""

import numpy as np

__all__ = ["add_sum", "checksum_text"]

_WORD = 0xFFFFFFFF
_PUNCTUATION = frozenset(b":;<=>?@[\\]^_`")


def add_sum(total: int, data: bytes) -> int:
    """Add a piece to a sum of 32-bit words in ones' complement.

    Parameters
    ----------
    total : int
        Sum so far; 0 at first.
    data : bytes
        The piece: whole words.

    Returns
    -------
    int
        The sum, below 2**32.
    """
    total += int(np.frombuffer(data, dtype=">u4").sum(dtype=np.uint64))
    while total > _WORD:
        total = (total & _WORD) + (total >> 32)
    return total


def checksum_text(total: int) -> str:
    """Write the text for the keyword CHECKSUM with which the sum of header and data becomes that of all ones.

    Parameters
    ----------
    total : int
        Sum of the header, with the keyword 0 in every place, and of the data.

    Returns
    -------
    str
        Sixteen letters and digits.
    """
    columns = [_four_letters(byte) for byte in (total ^ _WORD).to_bytes(4, "big")]
    letters = [columns[byte][place] for place in range(4) for byte in range(4)]
    # The text begins in the fourth byte of a word.
    return bytes(letters[-1:] + letters[:-1]).decode("ascii")


def _four_letters(byte: int) -> list[int]:
    """Part a byte among four letters or digits, whose offsets from the digit 0 add up to it."""
    letters = [ord("0") + byte // 4 + (byte % 4 if place == 0 else 0) for place in range(4)]
    while not _PUNCTUATION.isdisjoint(letters):
        for first in (0, 2):
            if letters[first] in _PUNCTUATION or letters[first + 1] in _PUNCTUATION:
                letters[first] += 1
                letters[first + 1] -= 1
    return letters
