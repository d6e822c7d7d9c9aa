"""Things, and what is noted about them by a signal."""

import uuid

from django.db import models


class Thing(models.Model):
    """Something that is sold."""

    name = models.CharField(max_length=80, unique=True)
    reference = models.UUIDField(default=uuid.uuid4)
    price = models.DecimalField(max_digits=9, decimal_places=2, default=1)
    tags = models.JSONField(default=dict)
    made = models.DateTimeField(auto_now_add=True)


class Note(models.Model):
    """What somebody said about a thing."""

    thing = models.ForeignKey(Thing, on_delete=models.CASCADE, related_name="notes")
    text = models.TextField()
