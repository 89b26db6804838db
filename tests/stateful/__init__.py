"""What the stateful tests are made of.

`model` says what is to be, `owners` who asks for it, `steps` what can happen, `sight` what there
is; `trial` takes the steps and holds the one against the other.
"""
