"""The shop's pages."""

import httpx
from django.conf import settings
from django.http import HttpResponse, JsonResponse

from prices.models import Visit


def index(request):
    """Says hello."""
    return HttpResponse("ask for /prices/EUR/")


def price(request, currency):
    """Tells a price in a currency: a rate from another service, a visit in the database."""
    answer = httpx.get(f"{settings.RATES_URL}/{currency}")
    answer.raise_for_status()
    visit = Visit.objects.create(currency=currency)
    return JsonResponse(
        {
            "price": round(12.5 * answer.json()["rate"], 2),
            "ticket": str(visit.ticket),
            "at": visit.at.strftime("%H:%M"),
            "visits": Visit.objects.filter(currency=currency).count(),
        }
    )
