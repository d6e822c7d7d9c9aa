"""Makes the tables."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The first migration."""

    initial = True
    operations = [  # noqa: RUF012 - as Django writes migrations
        migrations.CreateModel(
            name="Thing",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=80, unique=True)),
                ("reference", models.UUIDField(default=uuid.uuid4)),
                ("price", models.DecimalField(decimal_places=2, default=1, max_digits=9)),
                ("tags", models.JSONField(default=dict)),
                ("made", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="Note",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("text", models.TextField()),
                (
                    "thing",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="notes", to="catalog.thing"
                    ),
                ),
            ],
        ),
    ]
