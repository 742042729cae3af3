"""Doors: the webhook receiver, and what mounts it in a web application."""
