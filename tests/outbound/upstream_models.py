"""The upstream's routes that speak as language models do: OpenAI's and Anthropic's JSON, and their event streams.

    /openai/v1/chat/completions   /openai/v1/responses   /anthropic/v1/messages

The model's name says what happens: `slow` leaves 100 ms between events, `limited` refuses each conversation once
(429), `broken` ends its stream with an error event, `wrong` is answered 400; any other name is answered at once.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.outbound.upstream_wire import Request, Wire, route

WORDS = ["Once", " upon", " a", " tïme", " there", " was", " a", " snow☃man", "."]
REFUSALS: Counter[str] = Counter()
Event = tuple[str | None, Any]


@route("openai")
async def openai(request: Request, wire: Wire, rest: str) -> None:
    asked = json.loads(await wire.body())
    if await _refused(wire, asked, "OpenAI"):
        return
    if rest.endswith("responses"):
        await _answer(wire, asked, _response(asked, "completed", "".join(WORDS)), _response_events(asked))
    else:
        await _answer(wire, asked, _completion(asked), _completion_events(asked))


@route("anthropic")
async def anthropic(request: Request, wire: Wire, rest: str) -> None:
    asked = json.loads(await wire.body())
    if not await _refused(wire, asked, "Anthropic"):
        await _answer(wire, asked, _message(asked, "".join(WORDS)), _message_events(asked))


async def _refused(wire: Wire, asked: dict[str, Any], who: str) -> bool:
    error = {"type": "invalid_request_error", "message": f"{who}: no such model", "param": "model", "code": None}
    if asked["model"] == "wrong":
        await wire.json({"type": "error", "error": error}, 400, [("request-id", "req_1"), ("x-request-id", "req_1")])
        return True
    key = f"{who} {json.dumps(asked, sort_keys=True)}"
    REFUSALS[key] += 1
    if asked["model"] == "limited" and REFUSALS[key] % 2:
        await wire.json(
            {"type": "error", "error": {**error, "type": "rate_limit_error"}}, 429, [("Retry-After-Ms", "1")]
        )
        return True
    return False


async def _answer(wire: Wire, asked: dict[str, Any], whole: Any, events: Iterator[Event]) -> None:
    if not asked.get("stream"):
        await wire.json(whole, 200, [("x-request-id", "req_2"), ("request-id", "req_2")])
        return
    await wire.start_chunks(headers=[("Content-Type", "text/event-stream; charset=utf-8"), ("x-request-id", "req_3")])
    for name, data in events:
        line = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        await wire.chunk((f"event: {name}\n" if name else "").encode() + f"data: {line}\n\n".encode())
        await asyncio.sleep(0.1 if asked["model"] == "slow" else 0.003)
    await wire.end_chunks()


# -- OpenAI ------------------------------------------------------------------------------------------------------------


def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
    if "tools" in asked:
        function = {"name": "weather", "arguments": '{"city": "Zürich"}'}
        message |= {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 5, "completion_tokens": len(WORDS), "total_tokens": 5 + len(WORDS)}
    return _chat(asked, "chat.completion") | {"choices": [choice], "usage": usage}


def _chat(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": asked["model"]}


def _completion_events(asked: dict[str, Any]) -> Iterator[Event]:
    def chunk(delta: Any, finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return None, _chat(asked, "chat.completion.chunk") | {"choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    if "tools" in asked:
        for part in ('{"city"', ': "Zür', 'ich"}'):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    for word in WORDS:
        yield chunk({"content": word})
        if asked["model"] == "broken":
            yield None, {"error": {"message": "the model broke", "type": "server_error", "code": "broken"}}
            return
    yield chunk({}, "stop")
    yield None, "[DONE]"


def _response(asked: dict[str, Any], status: str, text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": [part]}
    head = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": asked["model"], "status": status}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "metadata": {}}
    return head | rest | {"output": [message] if text else []}


def _response_events(asked: dict[str, Any]) -> Iterator[Event]:
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield (
        "response.created",
        {
            "type": "response.created",
            "sequence_number": 0,
            "response": _response(asked, "in_progress", ""),
        },
    )
    for at, word in enumerate(WORDS, 1):
        delta = {"type": "response.output_text.delta", "sequence_number": at, "delta": word, "logprobs": []}
        yield "response.output_text.delta", delta | where
    done = {"type": "response.completed", "sequence_number": 99}
    yield "response.completed", done | {"response": _response(asked, "completed", "".join(WORDS))}


# -- Anthropic ---------------------------------------------------------------------------------------------------------


def _message(asked: dict[str, Any], text: str) -> dict[str, Any]:
    usage = {"input_tokens": 5, "output_tokens": len(WORDS) if text else 1}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "usage": usage}
    end = {"stop_reason": "end_turn" if text else None, "stop_sequence": None}
    return head | end | {"content": [{"type": "text", "text": text}] if text else []}


def _message_events(asked: dict[str, Any]) -> Iterator[Event]:
    def event(kind: str, **data: Any) -> Event:
        return kind, {"type": kind, **data}

    yield event("message_start", message=_message(asked, ""))
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield event("ping")
    for word in WORDS:
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
        if asked["model"] == "broken":
            yield event("error", error={"type": "overloaded_error", "message": "Overloaded"})
            return
    yield event("content_block_stop", index=0)
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": len(WORDS)})
    yield event("message_stop")
