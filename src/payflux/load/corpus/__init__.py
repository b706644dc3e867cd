"""The corpus: payment traffic as it is, incidents to disturb it with, and the truth about both.

Everything follows from a seed, to the byte, on every supported Python: chance comes from words of the Mersenne Twister
alone, shares are whole numbers of slots, and floats are only added, multiplied, divided and compared, or rooted, which
IEEE 754 defines exactly. `sum` of floats has no place here (Python 3.12 made it more exact), nor have `gauss`,
`choices` and `shuffle`, whose algorithms may change.

`benchmarks/detection/columns.py` makes the same attempts as columns of numbers, and a test holds the two together.
"""
