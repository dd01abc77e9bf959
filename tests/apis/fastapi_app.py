"""An API as FastAPI's users write it. `python fastapi_app.py PORT`."""

import sys
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Request, Response, UploadFile, WebSocket
from fastapi.responses import RedirectResponse, StreamingResponse

app = FastAPI()


@app.get("/items/")
async def items(request: Request) -> dict[str, str]:
    """A path with a slash: without it FastAPI redirects to an absolute URL, made of the Host that it sees."""
    return {"url": str(request.url), "user": request.headers.get("authorization", "")[:7]}


@app.post("/items/", status_code=201)
async def create(request: Request, response: Response) -> dict[str, str]:
    """The place of what was made, as an absolute URL."""
    response.headers["Location"] = str(request.url_for("item", number=7))
    return {"made": "7"}


@app.get("/items/{number}")
async def item(number: int) -> dict[str, int]:
    """One of them."""
    return {"number": number}


@app.get("/moved")
async def moved() -> RedirectResponse:
    """A redirect to a path."""
    return RedirectResponse("/items/")


@app.post("/upload")
async def upload(file: Annotated[UploadFile, ...]) -> dict[str, int]:
    """How many bytes arrived."""
    return {"size": len(await file.read())}


@app.get("/events")
async def events() -> StreamingResponse:
    """Three events."""
    return StreamingResponse((f"data: {number}\n\n" for number in range(3)), media_type="text/event-stream")


@app.websocket("/ws")
async def echo(socket: WebSocket) -> None:
    """What comes goes back."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
