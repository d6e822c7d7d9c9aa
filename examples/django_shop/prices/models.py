"""What the shop remembers."""

import uuid

from django.db import models


class Visit(models.Model):
    """Somebody asked for a price."""

    ticket = models.UUIDField(default=uuid.uuid4)
    currency = models.CharField(max_length=3)
    at = models.DateTimeField(auto_now_add=True)
