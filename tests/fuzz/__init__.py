"""Everything that comes from outside, made wrong at random: no hang, no traceback, nothing dropped in silence.

python -m tests.fuzz --inputs 10000 [--kinds audio manifest …] [--seed 0]
"""
