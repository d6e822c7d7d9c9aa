"""The market's pages: each uses one thing of Django's that projects use."""

import asyncio
import hashlib
import io

import httpx
import requests
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import transaction
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import etag
from django.views.generic import ListView, TemplateView, View

from catalog.middleware import Excuse
from catalog.models import Thing


def health(request):
    """Answers without asking anybody."""
    return HttpResponse("ok")


def _counter(**params):
    return requests.get(f"{settings.UPSTREAM}/counter", params=params, timeout=10).text


async def _acounter(**params):
    async with httpx.AsyncClient(timeout=10) as client:
        return (await client.get(f"{settings.UPSTREAM}/counter", params=params)).text


class Desk(LoginRequiredMixin, TemplateView):
    """A page for who is signed in, with a form and messages."""

    login_url = "/login/"
    template_name = "desk.html"

    def post(self, request):
        """Takes a note into the session."""
        request.session["notes"] = [*request.session.get("notes", []), request.POST["note"]]
        messages.success(request, f"noted: {_counter()}")
        return redirect("/desk/")


class Things(ListView):
    """All things."""

    queryset = Thing.objects.order_by("name")
    paginate_by = 2
    template_name = "things.html"


def thing(request, name):
    """One thing, or none."""
    found = get_object_or_404(Thing, name=name)
    return JsonResponse({"name": found.name, "reference": str(found.reference), "made": found.made.isoformat()})


def archive(request, year):
    """By regular expression."""
    return JsonResponse({"year": year, "some": Thing.objects.filter(made__year=year).exists(), "up": _counter()})


@csrf_exempt
def rolled_back(request):
    """Makes a thing and takes it back."""
    try:
        with transaction.atomic():
            Thing.objects.create(name="taken back")
            raise LookupError
    except LookupError:
        pass
    return JsonResponse({"there": Thing.objects.filter(name="taken back").exists()})


@csrf_exempt
@transaction.non_atomic_requests
def committed(request):
    """Tells upstream once a thing is there for good."""
    said = []
    with transaction.atomic():
        made = Thing.objects.create(name=f"committed {request.GET['n']}")
        transaction.on_commit(lambda: said.append(_counter(reference=str(made.reference))))
    return JsonResponse({"said": said, "id": made.pk}, status=201)


def excused(request):
    """Raises what middleware answers for."""
    raise Excuse(_counter())


def forbidden(request):
    """Is not allowed."""
    raise PermissionDenied(_counter())


def suspicious(request):
    """Looks odd."""
    raise SuspiciousOperation(_counter())


def broken(request):
    """Fails, after it wrote: with ATOMIC_REQUESTS nothing stays."""
    Thing.objects.create(name="broken")
    raise RuntimeError(_counter())


async def broken_async(request):
    """Fails, after it asked."""
    raise RuntimeError(await _acounter())


def lazy(request):
    """Renders, and asks the database, once the view has returned."""
    response = TemplateResponse(request, "things.html", {"object_list": Thing.objects.order_by("name")})
    response.add_post_render_callback(lambda rendered: rendered.headers.__setitem__("X-Late", _counter()))
    return response


def file(request):
    """Answers with a file."""
    return FileResponse(io.BytesIO(_counter().encode() * 5000), as_attachment=True, filename="counted.txt")


@etag(lambda request: hashlib.sha256(cache.get("stamp", "").encode()).hexdigest())
def etagged(request):
    """Has a tag."""
    return HttpResponse(_counter())


def zipped(request):
    """Is long enough to be compressed."""
    return HttpResponse(_counter() * 500)


def cached(request):
    """Uses the cache in many ways."""
    n = request.GET["n"]
    cache.set_many({f"a{n}": 1, f"b{n}": {"x": [1, 2.5, None, "y"]}}, 60)
    cache.add(f"a{n}", 5)
    cache.incr(f"a{n}", 4)
    got = cache.get_many([f"a{n}", f"b{n}", f"c{n}"])
    cache.touch(f"a{n}", 30)
    cache.delete(f"b{n}")
    cache.get_or_set("stamp", lambda: _counter(), 60)
    return JsonResponse(
        {"got": {k[0]: v for k, v in got.items()}, "has": cache.has_key(f"b{n}"), "s": cache.get("stamp")}
    )


@cache_page(60)
def cached_page(request):
    """Is kept whole."""
    return HttpResponse(_counter())


@csrf_exempt
def raw(request):
    """Reads its body as a file, piece by piece."""
    digest, size = hashlib.sha256(), 0
    while piece := request.read(10_000):
        digest.update(piece)
        size += len(piece)
    return JsonResponse({"sha256": digest.hexdigest(), "size": size, "up": _counter()})


@csrf_exempt
def upload(request):
    """Takes a file that is too large for memory."""
    sent = request.FILES["file"]
    digest = hashlib.sha256(b"".join(sent.chunks())).hexdigest()
    kind = type(sent).__name__
    return JsonResponse({"name": sent.name, "sha256": digest, "kind": kind, "up": _counter()})


def streamed(request):
    """Streams rows and what upstream says in between."""

    def lines():
        for each in Thing.objects.order_by("name").iterator(chunk_size=2):
            yield f"{each.name} {_counter()}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def streamed_async(request):
    """Streams asynchronously."""

    async def lines():
        async for each in Thing.objects.order_by("name"):
            yield f"{each.name} {await _acounter()}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def async_orm(request):
    """Uses the ORM's asynchronous side."""
    n = request.GET["n"]
    made = await Thing.objects.acreate(name=f"async {n}", tags={"n": [n]})
    names = [each.name async for each in Thing.objects.filter(name__startswith="async").order_by("name")]
    first = await Thing.objects.filter(pk=made.pk).afirst()
    count, up = await asyncio.gather(Thing.objects.acount(), _acounter())
    await cache.aset(f"async {n}", first.tags)
    return JsonResponse(
        {
            "names": names,
            "made": first.made.isoformat(),
            "counted": count > 0,
            "up": up,
            "cached": await cache.aget(f"async {n}"),
        }
    )


@method_decorator(csrf_exempt, name="dispatch")
class AsyncClass(View):
    """A class of coroutines."""

    async def get(self, request):
        """Answers."""
        return JsonResponse({"up": await _acounter()})

    async def post(self, request):
        """Takes JSON."""
        return JsonResponse({"took": hashlib.sha256(request.body).hexdigest(), "up": await _acounter()})


async def mixed(request):
    """An async view with a transaction in a thread."""

    def work():
        with transaction.atomic():
            found = Thing.objects.select_for_update().order_by("name").first()
            found.price += 1
            found.save(update_fields=["price"])
        return str(found.price), _counter()

    price, up = await sync_to_async(work)()
    return JsonResponse({"price": price, "up": up, "async": await _acounter()})


def server_side_cursor(request):
    """Reads through a cursor of the server's."""
    with transaction.atomic():
        names = [each.name for each in Thing.objects.order_by("name").iterator(chunk_size=1)]
    return JsonResponse({"names": names, "up": _counter()})
