package main

import "github.com/livedb/livedb/internal/kafka"

// kafkaFlags name the Kafka and the stream.
type kafkaFlags struct {
	Kafka  []string `name:"kafka" env:"LIVEDB_KAFKA,KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Kafka's brokers, separated by commas."`
	Prefix string   `name:"prefix" default:"livedb" help:"The stream's name, and the first part of its topics' names."`
	kafkaAccess
}

// kafkaAccess says how the connections to Kafka are protected and how we log in.
type kafkaAccess struct {
	KafkaTLS          bool   `name:"kafka-tls" help:"Connect to Kafka by TLS; implied by the three files below."`
	KafkaCA           string `name:"kafka-ca" type:"path" placeholder:"FILE" help:"Trust these authorities (PEM) instead of the system's."`
	KafkaCert         string `name:"kafka-cert" type:"path" placeholder:"FILE" help:"Our certificate (PEM), for mutual TLS."`
	KafkaKey          string `name:"kafka-key" type:"path" placeholder:"FILE" help:"Its private key (PEM)."`
	KafkaSASL         string `name:"kafka-sasl" placeholder:"MECHANISM" help:"Log in by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."`
	KafkaUser         string `name:"kafka-user" placeholder:"NAME" help:"The user of PLAIN and SCRAM."`
	KafkaPassword     secret `name:"kafka-password" placeholder:"SECRET" help:"Its password; better in the environment, for ps shows flags."`
	KafkaTokenFile    string `name:"kafka-token-file" type:"path" placeholder:"FILE" help:"Read OAUTHBEARER's token here, anew for every login."`
	KafkaTokenURL     string `name:"kafka-token-url" placeholder:"URL" help:"Get OAUTHBEARER's token here, by client credentials."`
	KafkaTokenClient  string `name:"kafka-token-client" placeholder:"ID" help:"The client's id at the token endpoint."`
	KafkaTokenSecret  secret `name:"kafka-token-secret" placeholder:"SECRET" help:"The client's secret; better in the environment."`
	KafkaTokenScope   string `name:"kafka-token-scope" placeholder:"SCOPE" help:"The scope to ask for."`
	KafkaLoginInClear bool   `name:"kafka-login-in-clear" help:"Allow a login that shows its password or token to whoever listens on the way."`
}

func (f kafkaFlags) config(role string) kafka.Config {
	token := kafka.Token{File: f.KafkaTokenFile, URL: f.KafkaTokenURL, ClientID: f.KafkaTokenClient,
		ClientSecret: f.KafkaTokenSecret.Reveal(), Scope: f.KafkaTokenScope}
	return kafka.Config{Brokers: f.Kafka, ClientID: "livedb/" + role,
		TLS:  kafka.TLS{Enabled: f.KafkaTLS, CA: f.KafkaCA, Certificate: f.KafkaCert, Key: f.KafkaKey},
		SASL: kafka.SASL{Mechanism: f.KafkaSASL, User: f.KafkaUser, Password: f.KafkaPassword.Reveal(), Token: token, InClear: f.KafkaLoginInClear}}
}
