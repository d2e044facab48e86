package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ports are a node's, all on the loopback interface.
type ports struct {
	plain      int // for the other nodes and, without Security, for clients
	controller int
	secured    int // for clients; 0 without Security
}

func (p ports) client() int {
	if p.secured != 0 {
		return p.secured
	}
	return p.plain
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// properties writes server.properties of the node with that id, from 1. all are the ports of all nodes.
func properties(c Config, id int, all []ports, dataDir string) string {
	settings := defaults(c.Nodes)
	maps.Copy(settings, addresses(c.Security.protocol(), id, all))
	maps.Copy(settings, security(c.Security))
	settings["log.dirs"] = dataDir
	maps.Copy(settings, c.Settings)

	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s=%s\n", name, strings.ReplaceAll(settings[name], `\`, `\\`))
	}
	return b.String()
}

// defaults are safe as a production cluster's, quick to notice a death, and small on disk and in memory.
func defaults(nodes int) map[string]string {
	replicas, inSync := strconv.Itoa(nodes), strconv.Itoa(nodes/2+1)
	return map[string]string{
		"process.roles":                                    "broker,controller",
		"auto.create.topics.enable":                        "false",
		"unclean.leader.election.enable":                   "false",
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              inSync,
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,
		"transaction.partition.verification.enable":        "true",

		"broker.session.timeout.ms":             "3000",
		"broker.heartbeat.interval.ms":          "500",
		"controller.quorum.fetch.timeout.ms":    "2000",
		"controller.quorum.election.timeout.ms": "1000",
		"group.initial.rebalance.delay.ms":      "0",
		"controlled.shutdown.enable":            "false",

		"num.partitions":                               "1",
		"offsets.topic.num.partitions":                 "4",
		"transaction.state.log.num.partitions":         "4",
		"share.coordinator.state.topic.num.partitions": "1",
		"log.segment.bytes":                            "67108864",
		"log.index.size.max.bytes":                     "262144",
		"log.segment.delete.delay.ms":                  "1000",
		"log.cleaner.dedupe.buffer.size":               "4194304",
		"num.network.threads":                          "2",
		"num.io.threads":                               "4",
		"num.recovery.threads.per.data.dir":            "2",
		"background.threads":                           "4",
	}
}

func addresses(protocol string, id int, all []ports) map[string]string {
	voters := make([]string, len(all))
	for i, p := range all {
		voters[i] = fmt.Sprintf("%d@%s", i+1, address(p.controller))
	}
	own := all[id-1]
	listeners := []string{"PLAIN://" + address(own.plain), "CONTROLLER://" + address(own.controller)}
	protocols := []string{"PLAIN:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	if protocol != "" {
		listeners = append(listeners, "SECURED://"+address(own.secured))
		protocols = append(protocols, "SECURED:"+protocol)
	}
	return map[string]string{
		"node.id":                        strconv.Itoa(id),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "PLAIN",
		"listeners":                      strings.Join(listeners, ","),
		"listener.security.protocol.map": strings.Join(protocols, ","),
	}
}

// security are the settings of the listener SECURED.
func security(s Security) map[string]string {
	const listener = "listener.name.secured."
	settings := map[string]string{}
	if s.Keystore != "" {
		settings[listener+"ssl.keystore.type"] = "PEM"
		settings[listener+"ssl.keystore.location"] = s.Keystore
	}
	if s.Truststore != "" {
		settings[listener+"ssl.truststore.type"] = "PEM"
		settings[listener+"ssl.truststore.location"] = s.Truststore
		settings[listener+"ssl.client.auth"] = "required"
	}
	if len(s.Users) == 0 {
		return settings
	}

	const login = "org.apache.kafka.common.security."
	plain := login + "plain.PlainLoginModule required"
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		plain += fmt.Sprintf(` user_%s="%s"`, name, s.Users[name])
	}
	scram := login + "scram.ScramLoginModule required;"
	maps.Copy(settings, map[string]string{
		listener + "sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		listener + "plain.sasl.jaas.config":         plain + ";",
		listener + "scram-sha-256.sasl.jaas.config": scram,
		listener + "scram-sha-512.sasl.jaas.config": scram,
		listener + "oauthbearer.sasl.jaas.config":   login + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="kafka";`,
	})
	return settings
}
