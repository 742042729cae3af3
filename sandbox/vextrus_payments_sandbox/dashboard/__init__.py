"""The dashboard: what happens in the sandbox, for people.

``routes.py`` has the addresses; ``views.py`` the pages that show what happened, ``controls.py`` those with levers, on
the ``frame.py`` that they share; ``actions.py`` the forms. ``reading.py`` and ``dial.py`` word things for the templates
in ``pages/dash_*.html``; ``snippets.py`` has the code to copy.
"""

from vextrus_payments_sandbox.dashboard.routes import Dashboard

__all__ = ["Dashboard"]
