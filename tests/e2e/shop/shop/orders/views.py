"""The shop's pages: each leans on a dependency in its own way."""

import asyncio
import hashlib
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import requests
from django.conf import settings
from django.contrib.auth import authenticate, login
from django.core.cache import cache
from django.db import connections, transaction
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response
from rest_framework.views import APIView

from shop.orders.models import Order, Stock

STOCK = "stock" if "stock" in connections.settings else "default"


def health(request):
    """Answers without asking anybody."""
    return HttpResponse("ok")


def _price(item):
    found = cache.get(f"price:{item}")
    if found is None:
        answer = httpx.get(f"{settings.UPSTREAM}/echo", params={"item": item}, timeout=10)
        found = len(answer.json()["target"]) * 100
        cache.set(f"price:{item}", found, 60)
    return found


@csrf_exempt
def orders(request):
    """Makes an order: a new reference, the time, a price from upstream."""
    item = json.loads(request.body)["item"] if request.method == "POST" else request.GET["item"]
    with transaction.atomic():
        order = Order.objects.create(item=item, price=_price(item) / 100)
        Order.objects.filter(pk=order.pk).update(item=item.upper())
    order.refresh_from_db()
    said = requests.post(f"{settings.UPSTREAM}/echo", json={"reference": str(order.reference)}, timeout=10)
    return JsonResponse(
        {
            "id": order.pk,
            "reference": str(order.reference),
            "created": order.created.isoformat(),
            "upstream": said.status_code,
            "lucky": random.randint(1, 10**9),
        },
        status=201,
    )


def order(request, number):
    """Shows an order."""
    found = list(Order.objects.filter(pk__lte=number).values("id", "item", "price").order_by("id")[:3])
    return JsonResponse({"orders": found, "price": _price(f"item-{number}"), "total": Order.objects.count() > 0})


def stock(request, item):
    """Takes one from the stock, in the other database."""
    with transaction.atomic(using=STOCK):
        row, _ = Stock.objects.using(STOCK).select_for_update().get_or_create(item=item, defaults={"left": 100})
        row.left -= 1
        row.save(using=STOCK)
    rows = Stock.objects.using(STOCK).filter(item=item).values_list("left", "changed")
    return JsonResponse({"left": [left for left, _ in rows], "changed": [c.isoformat() for _, c in rows]})


class OrderView(APIView):
    """An order through Django REST framework."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request, number):
        """Shows how many there are."""
        return Response({"number": number, "some": Order.objects.filter(pk=number).exists()})


def through_itself(request, number):
    """Asks this very service."""
    answer = requests.get(request.build_absolute_uri(f"/orders/{number}/"), timeout=10)
    return JsonResponse({"inner": answer.json()})


def threads(request):
    """Asks upstream from a pool of threads, the trace carried along or not."""
    n = request.GET.get("n", "0")
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda i: requests.get(f"{settings.UPSTREAM}/echo?{n}-{i}", timeout=10).status_code, range(6))
        )
    return JsonResponse({"answers": answers})


async def gathered(request):
    """Asks the same thing several times at once; upstream answers differently each time."""
    async with httpx.AsyncClient(timeout=10) as client:
        answers = await asyncio.gather(*(client.get(f"{settings.UPSTREAM}/counter") for _ in range(4)))
    return JsonResponse({"answers": [a.text for a in answers]})


def streamed(request):
    """Streams what it reads from upstream."""
    n = int(request.GET.get("n", 3))

    def lines():
        with httpx.stream("GET", f"{settings.UPSTREAM}/stream/{n % 5 + 2}", timeout=10) as upstream:
            yield from upstream.iter_bytes()
        yield f"{Order.objects.count() >= 0}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def streamed_async(request):
    """Streams asynchronously."""

    async def lines():
        async with httpx.AsyncClient(timeout=10) as client, client.stream("GET", f"{settings.UPSTREAM}/stream/3") as up:
            async for chunk in up.aiter_bytes():
                yield chunk
        yield f"{await Order.objects.acount() >= 0}\n".encode()

    return StreamingHttpResponse(lines(), content_type="text/plain")


@csrf_exempt
def upload(request):
    """Takes a file."""
    sent = request.FILES["file"]
    digest = hashlib.sha256(b"".join(sent.chunks())).hexdigest()
    return JsonResponse({"name": sent.name, "sha256": digest, "note": request.POST.get("note")})


def fail(request):
    """Fails after it asked the database."""
    Order.objects.count()
    raise RuntimeError(f"no luck with {request.GET.get('n')}")


def form(request):
    """Shows a form with its token, and takes it."""
    if request.method == "POST":
        return JsonResponse({"took": request.POST["note"], "at": timezone.now().tzinfo is not None})
    return JsonResponse({"csrf": get_token(request)})


def sign_in(request):
    """Signs a user in."""
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return JsonResponse({"error": "wrong"}, status=403)
    login(request, user)
    request.session["seen"] = os.urandom(4).hex()
    return JsonResponse({"user": user.get_username()})


def whoami(request):
    """Tells who is signed in."""
    return JsonResponse({"user": request.user.get_username(), "seen": request.session.get("seen")})
