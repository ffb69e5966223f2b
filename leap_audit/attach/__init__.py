"""Attach an audit to its model, in the forms that model cards, tools and registries read.

`ways.py` is the list of them; `record.py` what each is made of; one module makes each.
"""
