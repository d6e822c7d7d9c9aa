"""What happens besides: a saved thing is announced upstream, and noted; an ended request is counted in the cache."""

import requests
from django.conf import settings
from django.core.cache import cache
from django.core.signals import request_finished
from django.db.models.signals import post_save
from django.dispatch import receiver

from catalog.models import Note, Thing


@receiver(post_save, sender=Thing)
def announce(sender, instance, created, **more):
    """Asks upstream what to note about a new thing."""
    if created:
        answer = requests.get(f"{settings.UPSTREAM}/counter", params={"thing": instance.name}, timeout=10)
        Note.objects.create(thing=instance, text=answer.text)


@receiver(request_finished)
def count(sender, **more):
    """Counts."""
    cache.get_or_set("finished", 0, None)
    cache.incr("finished")
