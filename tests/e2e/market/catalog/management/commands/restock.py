"""A command that leans on everything."""

import httpx
from django.conf import settings
from django.core.cache import cache
from django.core.management.base import BaseCommand
from django.db import transaction

from catalog.models import Thing


class Command(BaseCommand):
    """Makes a thing, and says what it found."""

    help = "makes a thing"

    def add_arguments(self, parser):
        """Takes its name."""
        parser.add_argument("name")

    def handle(self, *args, name, **options):
        """Runs."""
        with transaction.atomic():
            made, _ = Thing.objects.get_or_create(name=name, defaults={"price": "3.20"})
            transaction.on_commit(lambda: cache.set("restocked", str(made.reference)))
        said = httpx.get(f"{settings.UPSTREAM}/counter", timeout=10).text
        notes = list(made.notes.values_list("text", flat=True))
        self.stdout.write(f"{made.name} {made.price} {said} {notes} {cache.get('restocked')} {made.reference}")
