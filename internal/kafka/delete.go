package kafka

import (
	"errors"
	"fmt"
	"strings"

	"github.com/IBM/sarama"
)

// DeleteTopics deletes every topic of a prefix. Nobody else may use the prefix. Brokers may tell of the topics for some
// moments more.
func DeleteTopics(client sarama.Client, prefix string) error {
	if err := client.RefreshMetadata(); err != nil {
		return fmt.Errorf("read the topics of kafka: %w", err)
	}
	names, err := client.Topics()
	if err != nil {
		return fmt.Errorf("read the topics of kafka: %w", err)
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return fmt.Errorf("ask kafka to delete topics: %w", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix+".") {
			continue
		}
		// One that is gone was deleted by a request that was sent again.
		if err := admin.DeleteTopic(name); err != nil && !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			return fmt.Errorf("delete topic %s: %w", name, err)
		}
	}
	return nil
}
