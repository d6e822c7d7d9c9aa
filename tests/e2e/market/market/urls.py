"""Where everything is."""

from catalog import api, views
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.routers import DefaultRouter

router = DefaultRouter()
router.register("things", api.ThingViewSet)

urlpatterns = [
    path("health/", views.health),
    path("api/token/", obtain_auth_token),
    path("api/rare/", api.Rare.as_view()),
    path("api/mine/", api.Mine.as_view()),
    path("api/", include(router.urls)),
    path("login/", LoginView.as_view(template_name="login.html")),
    path("logout/", LogoutView.as_view(next_page="/desk/")),
    path("desk/", views.Desk.as_view()),
    path("things/", include(("catalog.urls", "catalog"), namespace="catalog")),
    re_path(r"^archive/(?P<year>[0-9]{4})/$", views.archive),
    path("rolled-back/", views.rolled_back),
    path("committed/", views.committed),
    path("excused/", views.excused),
    path("forbidden/", views.forbidden),
    path("suspicious/", views.suspicious),
    path("broken/", views.broken),
    path("abroken/", views.broken_async),
    path("lazy/", views.lazy),
    path("file/", views.file),
    path("etag/", views.etagged),
    path("zipped/", views.zipped),
    path("cached/", views.cached),
    path("page/", views.cached_page),
    path("raw/", views.raw),
    path("upload/", views.upload),
    path("stream/", views.streamed),
    path("astream/", views.streamed_async),
    path("aorm/", views.async_orm),
    path("class/", views.AsyncClass.as_view()),
    path("mixed/", views.mixed),
    path("cursor/", views.server_side_cursor),
]
