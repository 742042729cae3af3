"""The shop's addresses; everything under /payments/ are the doors."""

from django.urls import path

from shop import views
from shop.payments import payments

urlpatterns = [
    path("", views.front),
    path("orders", views.order),
    path("orders/<int:number>", views.show),
    path("orders/<int:number>/pay/<int:attempt>", views.pay),
    path("payments/<path:route>", payments.django_view()),  # webhooks, the payer's return, health
]
