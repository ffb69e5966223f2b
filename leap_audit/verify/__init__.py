"""Check that an audit, its model and its data are unchanged.

`matches.py` hashes again what audit.json records, `views.py` renders again what follows from it,
`rerun.py` repeats the audit, `signature.py` signs its folder and checks that.
"""
