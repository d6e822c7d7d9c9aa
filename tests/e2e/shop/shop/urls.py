"""Where everything is."""

from django.urls import path

from shop.orders import views

urlpatterns = [
    path("health/", views.health),
    path("orders/", views.orders),
    path("orders/<int:number>/", views.order),
    path("stock/<str:item>/", views.stock),
    path("api/orders/<int:number>/", views.OrderView.as_view()),
    path("self/<int:number>/", views.through_itself),
    path("threads/", views.threads),
    path("gather/", views.gathered),
    path("stream/", views.streamed),
    path("astream/", views.streamed_async),
    path("upload/", views.upload),
    path("fail/", views.fail),
    path("form/", views.form),
    path("login/", views.sign_in),
    path("whoami/", views.whoami),
]
