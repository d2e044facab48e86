package check

// Known is what is known of a finding before it is found.
type Known struct {
	Scope    Scope
	Severity Severity // the usual one
}

// catalogue holds every finding that this package gives; docs/check.md tells of each. Besides, any refusal of docs/errors.md
// may come as a finding, if the start would refuse by it.
var catalogue = map[string]Known{
	"stale": {Configuration, Warning},

	// Reaching the source.
	"source_unreachable":    {Source, Error},
	"pooled_endpoint":       {Source, Error},
	"source_tls_required":   {Neon, Error},
	"neon_host_address":     {Neon, Warning},
	"source_quota_exceeded": {Neon, Error},

	// The server and the role.
	"server_version_unsupported": {Source, Error},
	"server_minor_old":           {Source, Warning},
	"source_is_replica":          {Source, Error},
	"wal_level_not_logical":      {Source, Error},
	"role_lacks_replication":     {Source, Error},
	"slots_exhausted":            {Source, Error},
	"wal_senders_exhausted":      {Source, Error},
	"session_timeout":            {Source, Warning},
	"slot_retention_unbounded":   {Source, Warning},
	"clock_skew":                 {Source, Warning},
	"activity_hidden":            {Source, Info},
	"long_transaction":           {Source, Warning},
	"prepared_transactions_used": {Source, Warning},
	"probe_leftover":             {Source, Warning},

	// Slots.
	"slot_wrong_plugin":   {Source, Error},
	"slot_other_database": {Source, Error},
	"slot_two_phase":      {Source, Error},
	"slot_in_use":         {Source, Error},
	"slot_wal_lost":       {Source, Critical},
	"safe_wal_low":        {Source, Warning},
	"slot_not_failover":   {Source, Info},
	"neon_slot_expiry":    {Neon, Warning},
	"neon_keeps_awake":    {Neon, Info},

	// The publication and its tables.
	"publication_refused":          {Source, Error},
	"publication_empty":            {Source, Warning},
	"publication_partial":          {Source, Warning},
	"publish_via_root_not_set":     {Source, Warning},
	"table_malformed":              {Configuration, Error},
	"table_missing":                {Source, Error},
	"table_not_published":          {Source, Error},
	"select_denied":                {Source, Warning},
	"no_replica_identity":          {Source, Critical},
	"replica_identity_not_full":    {Source, Warning},
	"toast_columns_without_full":   {Source, Warning},
	"partition_identity_differs":   {Source, Warning},
	"table_without_key":            {Source, Warning},
	"topic_shared":                 {Source, Critical},
	"topic_name_too_long":          {Source, Error},
	"prefix_malformed":             {Configuration, Error},
	"partitions_malformed":         {Configuration, Error},
	"limits_malformed":             {Configuration, Error},
	"transaction_timeout_too_long": {Kafka, Error},

	// The stream: the checkpoint against both sides.
	"checkpoint_missing":        {Kafka, Critical},
	"checkpoint_unreadable":     {Kafka, Critical},
	"stream_elsewhere":          {Configuration, Critical},
	"system_identifier_changed": {Source, Critical},
	"database_changed":          {Source, Critical},
	"timeline_changed":          {Source, Critical},
	"neon_timeline_changed":     {Neon, Critical},
	"slot_changed":              {Configuration, Critical},
	"publication_changed":       {Configuration, Critical},
	"checkpoint_ahead_of_wal":   {Source, Critical},
	"slot_ahead_of_checkpoint":  {Source, Critical},
	"slot_missing":              {Source, Critical},
	"publication_missing":       {Source, Critical},
	"publication_altered":       {Source, Critical},
	"table_left_publication":    {Source, Critical},
	"topic_missing":             {Kafka, Critical},
	"topic_recreated":           {Kafka, Critical},
	"topic_partitions_changed":  {Kafka, Critical},

	// Kafka.
	"kafka_unreachable":          {Kafka, Error},
	"kafka_login_refused":        {Kafka, Error},
	"kafka_denied":               {Kafka, Error},
	"topic_partitions_differ":    {Kafka, Error},
	"topic_refused":              {Kafka, Error},
	"topic_compacted":            {Kafka, Critical},
	"checkpoint_not_compacted":   {Kafka, Error},
	"auto_create_enabled":        {Kafka, Warning},
	"partition_verification_off": {Kafka, Warning},
	"replication_factor_low":     {Kafka, Warning},
	"min_isr_low":                {Kafka, Warning},
	"unclean_election":           {Kafka, Warning},
	"message_too_small":          {Kafka, Error},
	"hanging_transaction":        {Kafka, Error},
}
