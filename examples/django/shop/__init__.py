"""A shop on Django, with a Celery worker that looks after its payments."""
