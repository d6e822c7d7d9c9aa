"""The market through Django REST framework."""

import httpx
from django.conf import settings
from rest_framework import serializers, viewsets
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated, IsAuthenticatedOrReadOnly
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.models import Note, Thing


class NoteSerializer(serializers.ModelSerializer):
    """A note."""

    class Meta:
        model = Note
        fields = ("text",)


class ThingSerializer(serializers.ModelSerializer):
    """A thing with its notes."""

    notes = NoteSerializer(many=True, read_only=True)

    class Meta:
        model = Thing
        fields = ("id", "name", "reference", "price", "tags", "notes")
        read_only_fields = ("reference",)


class ThingViewSet(viewsets.ModelViewSet):
    """Things: listed, made, changed, removed."""

    queryset = Thing.objects.prefetch_related("notes").order_by("name")
    serializer_class = ThingSerializer
    authentication_classes = (TokenAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticatedOrReadOnly,)

    @action(detail=True)
    def worth(self, request, pk=None):
        """Asks upstream what it is worth."""
        answer = httpx.get(f"{settings.UPSTREAM}/counter", params={"thing": self.get_object().name}, timeout=10)
        return Response({"worth": answer.json()})


class Rare(APIView):
    """May be asked twice."""

    authentication_classes = ()
    throttle_scope = "rare"

    def get(self, request):
        """Answers."""
        return Response({"asked": True})


class Mine(APIView):
    """For who is known."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request):
        """Tells who asks."""
        return Response({"user": request.user.get_username()})
