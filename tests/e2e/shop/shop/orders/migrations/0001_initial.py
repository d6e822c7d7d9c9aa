"""Makes the tables."""

import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first migration."""

    initial = True
    operations = [  # noqa: RUF012 - as Django writes migrations
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("reference", models.UUIDField(default=uuid.uuid4)),
                ("item", models.CharField(max_length=80)),
                ("price", models.DecimalField(max_digits=9, decimal_places=2)),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="Stock",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("item", models.CharField(max_length=80, unique=True)),
                ("left", models.IntegerField()),
                ("changed", models.DateTimeField(auto_now=True)),
            ],
        ),
    ]
