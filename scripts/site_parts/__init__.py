"""What `make_site` is made of: text, docstrings, notebooks and widgets -> HTML."""
