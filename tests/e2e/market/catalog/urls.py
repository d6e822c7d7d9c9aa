"""Below things/."""

from django.urls import path

from catalog import views

app_name = "catalog"
urlpatterns = [path("", views.Things.as_view(), name="all"), path("<slug:name>/", views.thing, name="one")]
