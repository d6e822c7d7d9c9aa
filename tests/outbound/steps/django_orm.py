"""What an app does with Django's ORM: migrations, transactions, savepoints, bulk work, iterators, errors."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal

import django
from django.conf import settings

from tests.outbound.steps import Steps
from tests.outbound.steps.django_database import database

settings.configure(
    DATABASES={"default": database()},
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
django.setup()

from django.contrib.auth.models import Group, Permission, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, models, transaction  # noqa: E402

steps = Steps()


class Item(models.Model):
    """A row of every common type."""

    name = models.CharField(max_length=50, unique=True)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=decimal.Decimal("1.10"))
    at = models.DateTimeField(default=dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC))
    day = models.DateField(null=True)
    data = models.JSONField(default=dict)
    raw = models.BinaryField(default=b"\x00\xff")
    flag = models.BooleanField(default=True)

    class Meta:
        app_label = "steps"

    objects = models.Manager()


@steps
def migrates() -> object:
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Item)
    return sorted(connection.introspection.table_names())


@steps
def creates() -> object:
    item = Item.objects.create(name="a", data={"k": [1, None, "é"]}, day=dt.date(2024, 1, 1))
    return [item.pk, Item.objects.count()]


@steps
def reads() -> object:
    item = Item.objects.get(name="a")
    return [item.price, item.at, item.day, item.data, bytes(item.raw), item.flag]


@steps
def creates_many() -> object:
    made = Item.objects.bulk_create([Item(name=f"many{n}", price=n) for n in range(20)])
    updated = Item.objects.filter(name__startswith="many").update(price=models.F("price") + 1)
    ignored = Item.objects.bulk_create([Item(name="many1")], ignore_conflicts=True)
    return [made[3].pk, updated, len(ignored), Item.objects.aggregate(models.Sum("price"), models.Max("id"))]


@steps
def iterates() -> object:
    return [item.name for item in Item.objects.order_by("id").iterator(chunk_size=7)]


@steps
def commits_and_rolls_back() -> object:
    with transaction.atomic():
        Item.objects.create(name="kept")
        inside = connection.in_atomic_block
        try:
            with transaction.atomic():
                Item.objects.create(name="lost")
                raise ValueError("stop")
        except ValueError:
            pass
    return [inside, list(Item.objects.filter(name__in=["kept", "lost"]).values_list("name", flat=True))]


@steps
def violates_unique_in_a_savepoint() -> object:
    with transaction.atomic():
        try:
            with transaction.atomic():
                Item.objects.create(name="a")
        except IntegrityError as error:
            seen = [str(error), type(error.__cause__).__name__]
        got, made = Item.objects.get_or_create(name="a")
    return [seen, got.name, made]


@steps
def raises_unique() -> object:
    return Item.objects.create(name="a")


@steps
def raises_does_not_exist() -> object:
    return Item.objects.get(name="nobody")


@steps
def locks() -> object:
    with transaction.atomic():
        return list(Item.objects.select_for_update().filter(name="a").values_list("name"))


@steps
def runs_after_commit() -> object:
    seen: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append("committed"))
        Item.objects.filter(name="a").update(flag=False)
    return seen


@steps
def filters() -> object:
    found = Item.objects.filter(at__year=2024, data__k__0=1).annotate(upper=models.functions.Upper("name"))
    return [list(found.values("name", "upper", "price")), Item.objects.exclude(name="a").exists(),
            list(Item.objects.values("flag").annotate(n=models.Count("id")).order_by("flag"))]  # fmt: skip


@steps
def follows_relations() -> object:
    user = User.objects.create(username="u", email="u@example.com", date_joined=dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    group = Group.objects.create(name="g")
    group.permissions.set(Permission.objects.order_by("id")[:3])
    user.groups.add(group)
    found = User.objects.prefetch_related("groups__permissions").get(username="u")
    return [
        [p.codename for g in found.groups.all() for p in g.permissions.all()],
        User.objects.filter(groups__name="g").count(),
    ]


@steps
def runs_raw_sql() -> object:
    with connection.cursor() as cursor:
        cursor.execute("select name, price from steps_item where name = %s", ["a"])
        columns = [column[0] for column in cursor.description or ()]
        return [
            columns,
            cursor.fetchall(),
            [item.name for item in Item.objects.raw("select * from steps_item where id < 3")],
        ]


@steps
async def awaits() -> object:
    item = await Item.objects.acreate(name="async")
    names = [each.name async for each in Item.objects.filter(name="async")]
    await item.adelete()
    both = await asyncio.gather(Item.objects.acount(), Item.objects.filter(name="a").aexists())
    return [names, both]


@steps
def reconnects() -> object:
    connection.close()
    return Item.objects.filter(name="a").count()


@steps
def deletes() -> object:
    deleted = Item.objects.filter(name__startswith="many").delete()
    User.objects.all().delete()
    return [deleted, Item.objects.count()]


@steps
def cleans_up() -> object:
    with connection.schema_editor() as editor:
        editor.delete_model(Item)
    call_command("migrate", "auth", "zero", verbosity=0)
    call_command("migrate", "contenttypes", "zero", verbosity=0)
    connection.close()
    return None
