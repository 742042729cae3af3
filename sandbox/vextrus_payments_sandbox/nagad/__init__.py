"""Nagad's remote payment gateway 1.0, as far as public sources know it (the Nagad dossier, §14).

Nothing is imported here: the shared parts read ``facts`` before the rest of this folder can be (``gateways.py``).
"""
