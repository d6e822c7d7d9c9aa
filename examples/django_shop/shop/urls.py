"""Where everything is."""

from django.urls import path
from prices import views

urlpatterns = [path("", views.index), path("prices/<str:currency>/", views.price)]
