// A receiver as one writes it in Go: verify the signature, parse the JSON, publish each event, respond when all are
// acknowledged by all replicas. It has no spool, no dead letters and no normalisation, and reads what a sound body has.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
)

type item struct {
	Sender struct {
		ID string `json:"id"`
	} `json:"sender"`
}

type body struct {
	Entry []struct {
		ID        string            `json:"id"`
		Messaging []json.RawMessage `json:"messaging"`
	} `json:"entry"`
}

func signed(raw []byte, header string, secret []byte) bool {
	mac := hmac.New(sha256.New, secret)
	mac.Write(raw)
	return hmac.Equal([]byte("sha256="+hex.EncodeToString(mac.Sum(nil))), []byte(header))
}

func records(raw []byte, topic string) ([]*kgo.Record, error) {
	var parsed body
	if err := json.Unmarshal(raw, &parsed); err != nil {
		return nil, err
	}
	var found []*kgo.Record
	for _, entry := range parsed.Entry {
		for _, each := range entry.Messaging {
			var of item
			if err := json.Unmarshal(each, &of); err != nil {
				return nil, err
			}
			key := []byte("messenger:" + entry.ID + ":" + of.Sender.ID)
			found = append(found, &kgo.Record{Topic: topic, Key: key, Value: each})
		}
	}
	return found, nil
}

func main() {
	topic, secret := os.Getenv("LEADSTREAM_TOPIC_PREFIX")+"message-events", []byte(os.Getenv("LEADSTREAM_APP_SECRETS"))
	client, err := kgo.NewClient(
		kgo.SeedBrokers(os.Getenv("LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS")),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "live") })
	http.HandleFunc("POST /webhook", func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil || !signed(raw, r.Header.Get("X-Hub-Signature-256"), secret) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		found, err := records(raw, topic)
		if err == nil {
			err = client.ProduceSync(context.Background(), found...).FirstErr()
		}
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "EVENT_RECEIVED")
	})
	log.Fatal(http.ListenAndServe(os.Getenv("LEADSTREAM_RECEIVER_HOST")+":"+os.Getenv("LEADSTREAM_RECEIVER_PORT"), nil))
}
