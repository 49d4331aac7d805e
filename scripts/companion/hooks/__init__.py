"""What the hooks do once they have something to do. Standard library only, Python 3.9 and newer.

hooks/NAME.py decides in a few milliseconds that a call is none of ours; else `run` hands it to the module of the same
name here. Pure functions judge; the store is the truth.
"""
