"""The docs site: `python -m scripts.docs` (or `make docs`).

Plain Markdown in docs/ is what people write and what is read on the forge. From it, without a network:

* generated.py rewrites what the code says better than a person: capability tables, tables and pictures of states.
  They stand in the pages between two comments, and a test holds them against the code;
* api.py makes the API reference from the docstrings of the public names;
* site.py puts all of it into build/docs, has Zensical make build/site, and looks at every link and resource of that.
"""
