// The example server of Zitadel's OpenID library, as its authors wrote it, on loopback: its clients, its users, its storage.
//
// PORT is where it listens, REDIRECT_URI what the client "web" with the secret "secret" registered.
package main

import (
	"log/slog"
	"net/http"
	"os"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	port := os.Getenv("PORT")
	issuer := "http://localhost:" + port + "/"
	storage.RegisterClients(
		storage.WebClient("web", "secret", os.Getenv("REDIRECT_URI")),
		storage.NativeClient("native", os.Getenv("REDIRECT_URI")),
	)
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	users := storage.NewUserStore(issuer)
	router := exampleop.SetupServer(issuer, storage.NewStorage(users), logger, false)
	logger.Error("stopped", "error", http.ListenAndServe("127.0.0.1:"+port, router))
	os.Exit(1)
}
