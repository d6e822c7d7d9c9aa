"""Orders, in the default database, and stock, in the other one where there is one."""

import uuid

from django.db import models


class Order(models.Model):
    """Something that a customer bought."""

    reference = models.UUIDField(default=uuid.uuid4)
    item = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=9, decimal_places=2)
    created = models.DateTimeField(auto_now_add=True)


class Stock(models.Model):
    """How many of an item are left."""

    item = models.CharField(max_length=80, unique=True)
    left = models.IntegerField()
    changed = models.DateTimeField(auto_now=True)
