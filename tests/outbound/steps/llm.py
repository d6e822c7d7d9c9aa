"""Steps of the SDKs of language models: whole answers and streams of events, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import openai

from tests.outbound.steps import Steps, address

steps = Steps()

BASE = address("http")
OPENAI_KEY, ANTHROPIC_KEY = "sk-test-0123456789abcdef", "sk-ant-0123456789abcdef"
ASKED: list[Any] = [{"role": "user", "content": "Tell me a störy"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def gpt(**options: Any) -> openai.OpenAI:
    """OpenAI's client of the upstream, on the HTTP library that this version of the SDK uses."""
    plain = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(**{"base_url": f"{BASE}/openai/v1", "api_key": OPENAI_KEY, "http_client": plain, **options})


def async_gpt() -> openai.AsyncOpenAI:
    """OpenAI's async client of the upstream."""
    plain = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=f"{BASE}/openai/v1", api_key=OPENAI_KEY, http_client=plain)


def claude() -> anthropic.Anthropic:
    """Anthropic's client of the upstream."""
    plain = anthropic.DefaultHttpxClient(trust_env=False)
    return anthropic.Anthropic(base_url=f"{BASE}/anthropic", api_key=ANTHROPIC_KEY, http_client=plain)


def async_claude() -> anthropic.AsyncAnthropic:
    """Anthropic's async client of the upstream."""
    plain = anthropic.DefaultAsyncHttpxClient(trust_env=False)
    return anthropic.AsyncAnthropic(base_url=f"{BASE}/anthropic", api_key=ANTHROPIC_KEY, http_client=plain)


def failing(call: Callable[[], Any]) -> Any:
    """What an app can tell of the error of a call."""
    try:
        return call()
    except (openai.APIError, anthropic.APIError) as error:
        response = getattr(error, "response", None)
        status = None if response is None else (response.status_code, response.headers.multi_items())
        return [type(error).__name__, error.message, error.body, status, str(error.request.url)]


def all_of(events: Any) -> list[Any]:
    """Each event as the app gets it."""
    return [each.model_dump() for each in events]


@steps
def completion() -> Any:
    with gpt() as client:
        return client.chat.completions.create(model="m", messages=ASKED).model_dump()


@steps
def completion_raw() -> Any:
    with gpt() as client:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED)
        return raw.status_code, raw.request_id, raw.headers.multi_items(), raw.text, raw.parse().model_dump()


@steps
def completion_stream() -> Any:
    with gpt() as client:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        return all_of(stream), stream.response.status_code


@steps
def completion_stream_slow() -> Any:
    with gpt() as client:
        return all_of(client.chat.completions.create(model="slow", messages=ASKED, stream=True))


@steps
def completion_stream_of_tool_calls() -> Any:
    with gpt() as client:
        stream = client.chat.completions.create(model="m", messages=ASKED, tools=[TOOL], stream=True)
        return all_of(stream)


@steps
def completion_stream_left() -> Any:
    with gpt() as client, client.chat.completions.create(model="slow", messages=ASKED, stream=True) as stream:
        return [next(stream).model_dump() for _ in range(3)]


@steps
def completion_stream_raw_lines() -> Any:
    with gpt() as client:
        asked = client.chat.completions.with_streaming_response
        with asked.create(model="m", messages=ASKED, stream=True) as response:
            return list(response.iter_lines())


@steps
def completion_stream_broken() -> Any:
    with gpt() as client:
        return failing(lambda: all_of(client.chat.completions.create(model="broken", messages=ASKED, stream=True)))


@steps
def completion_refused() -> Any:
    with gpt() as client:
        return failing(lambda: client.chat.completions.create(model="wrong", messages=ASKED))


@steps
def completion_retried() -> Any:
    with gpt() as client:
        return client.chat.completions.create(model="limited", messages=ASKED).model_dump()


@steps
def completion_stream_retried() -> Any:
    with gpt() as client:
        return all_of(client.chat.completions.create(model="limited", messages=ASKED, stream=True))


@steps
def completion_without_server() -> Any:
    with gpt(base_url=address("refused"), max_retries=0) as client:
        return failing(lambda: client.chat.completions.create(model="m", messages=ASKED))


@steps
def responses() -> Any:
    with gpt() as client:
        return client.responses.create(model="m", input="hello").model_dump()


@steps
def responses_stream() -> Any:
    with gpt() as client:
        return all_of(client.responses.create(model="m", input="hello", stream=True))


@steps
async def async_completion() -> Any:
    async with async_gpt() as client:
        return (await client.chat.completions.create(model="m", messages=ASKED)).model_dump()


@steps
async def async_completion_stream() -> Any:
    async with async_gpt() as client:
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        return [each.model_dump() async for each in stream]


@steps
async def async_completion_streams_at_once() -> Any:
    async def story(client: openai.AsyncOpenAI, topic: str) -> list[Any]:
        asked: Any = [{"role": "user", "content": topic}]
        stream = await client.chat.completions.create(model="m", messages=asked, stream=True)
        return [each.model_dump() async for each in stream]

    async with async_gpt() as client:
        return await asyncio.gather(*(story(client, topic) for topic in ("dogs", "cats", "snow")))


@steps
async def async_completion_stream_cancelled() -> Any:
    seen = []
    async with async_gpt() as client:
        try:
            async with asyncio.timeout(0.25):
                async for each in await client.chat.completions.create(model="slow", messages=ASKED, stream=True):
                    seen.append(each.model_dump())
        except TimeoutError as error:
            return ["timed out", error.args, seen[:1]]


@steps
def message() -> Any:
    with claude() as client:
        return client.messages.create(model="m", messages=ASKED, max_tokens=9).model_dump()


@steps
def message_stream() -> Any:
    with claude() as client:
        return all_of(client.messages.create(model="m", messages=ASKED, max_tokens=9, stream=True))


@steps
def message_stream_helper() -> Any:
    with claude() as client, client.messages.stream(model="m", messages=ASKED, max_tokens=9) as stream:
        return list(stream.text_stream), stream.get_final_message().model_dump()


@steps
def message_stream_broken() -> Any:
    with claude() as client:
        asked = client.messages.create
        return failing(lambda: all_of(asked(model="broken", messages=ASKED, max_tokens=9, stream=True)))


@steps
def message_refused() -> Any:
    with claude() as client:
        return failing(lambda: client.messages.create(model="wrong", messages=ASKED, max_tokens=9))


@steps
def message_retried() -> Any:
    with claude() as client:
        return client.messages.create(model="limited", messages=ASKED, max_tokens=9).model_dump()


@steps
async def async_message() -> Any:
    async with async_claude() as client:
        return (await client.messages.create(model="m", messages=ASKED, max_tokens=9)).model_dump()


@steps
async def async_message_stream() -> Any:
    async with async_claude() as client:
        stream = await client.messages.create(model="m", messages=ASKED, max_tokens=9, stream=True)
        return [each.model_dump() async for each in stream]


@steps
async def async_message_stream_helper() -> Any:
    async with async_claude() as client, client.messages.stream(model="m", messages=ASKED, max_tokens=9) as stream:
        return [text async for text in stream.text_stream], (await stream.get_final_message()).model_dump()
