//! Nearly all tests of the whole, in one program: it is linked once, and while one waits another runs. A file is a promise.
//! What replaces the logger, forks, or looks at the process's own threads, memory or processor time begins with
//! `ran_apart`. Beside this folder are those that need the machine for themselves, and those that read the
//! sources alone.

#[path = "../support/apart.rs"]
mod apart;
#[cfg(all(feature = "cli", feature = "kafka"))]
#[path = "../support/broker.rs"]
mod broker;
#[path = "../support/exposition.rs"]
mod exposition;
#[cfg(feature = "cli")]
#[path = "../support/hec.rs"]
mod hec;
#[cfg(feature = "kafka")]
#[path = "../support/kafka.rs"]
mod kafka;
#[cfg(feature = "cli")]
#[path = "../support/logged.rs"]
mod logged;
#[cfg(feature = "cli")]
#[path = "../support/menu.rs"]
mod menu;
#[cfg(feature = "cli")]
#[path = "../support/program.rs"]
mod program;
#[cfg(feature = "cli")]
#[path = "../support/receiver_client.rs"]
mod receiver_client;
#[cfg(all(feature = "cli", feature = "kafka-tls"))]
#[path = "../support/scram.rs"]
mod scram;
#[cfg(feature = "cli")]
#[path = "../support/tls.rs"]
mod tls;
#[path = "../support/mod.rs"]
mod support;

mod a_bad_day_blames_nobody;
#[cfg(feature = "cli")]
mod a_configuration_is_never_too_much;
mod a_dead_letter_has_one_writer;
#[cfg(unix)]
mod a_forked_child_is_refused;
#[cfg(target_os = "linux")]
mod a_full_disk_is_told;
#[cfg(feature = "cli")]
mod a_killed_program_loses_its_memory;
mod a_logger_that_feeds_back;
mod a_panic_loses_nothing;
#[cfg(feature = "tracing-layer")]
mod a_service_that_audits_every_warning;
mod backoff_spaces_attempts;
mod batches_by_count_bytes_and_age;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod broken_configurations;
#[cfg(all(feature = "cli", unix))]
mod cli_check;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod cli_check_faults;
#[cfg(feature = "cli")]
mod cli_config;
#[cfg(feature = "cli")]
mod cli_datadog;
#[cfg(feature = "cli")]
mod cli_dead_letter;
#[cfg(feature = "cli")]
mod cli_demo;
#[cfg(feature = "cli")]
mod cli_elastic;
#[cfg(feature = "cli")]
mod cli_fanout;
#[cfg(feature = "cli")]
mod cli_file;
#[cfg(feature = "cli")]
mod cli_files;
#[cfg(feature = "cli")]
mod cli_flags;
#[cfg(feature = "cli")]
mod cli_hostile;
#[cfg(feature = "cli")]
mod cli_kafka;
#[cfg(feature = "cli")]
mod cli_log;
#[cfg(feature = "cli")]
mod cli_metrics;
#[cfg(feature = "cli")]
mod cli_overflow;
#[cfg(feature = "cli")]
mod cli_receive;
#[cfg(feature = "cli")]
mod cli_replay;
#[cfg(feature = "cli")]
mod cli_webhook;
#[cfg(feature = "cli")]
mod cli_run;
#[cfg(feature = "cli")]
mod cli_run_ends;
#[cfg(feature = "cli")]
mod cli_service;
#[cfg(feature = "cli")]
mod cli_status;
#[cfg(all(feature = "cli", unix))]
mod cli_top;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod cli_tune;
mod connections_grow_old;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod dns_change_moves_traffic;
#[cfg(feature = "cli")]
mod documents_name_what_exists;
#[cfg(feature = "cli")]
mod elastic_items;
mod emit_never_allocates;
mod event_reads_back;
mod event_serde;
mod event_time_is_as_given;
mod every_event_has_one_fate;
#[cfg(feature = "cli")]
mod every_fault_and_drain;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod examples_deploy;
#[cfg(feature = "cli")]
mod examples_map;
mod fanout_destinations;
mod fanout_filters;
#[cfg(feature = "cli")]
mod file_destination;
mod forwarders_do_not_know_each_other;
mod full_ring_refuses;
#[cfg(feature = "cli")]
mod gaps_are_told_in_band;
mod health_monitor;
#[cfg(target_os = "linux")]
mod idle_costs_hardly_anything;
#[cfg(feature = "cli")]
mod input_corpus;
#[cfg(feature = "cli")]
mod input_fidelity;
#[cfg(feature = "cli")]
mod input_reader;
#[cfg(all(feature = "cli", feature = "kafka"))]
mod kafka_metrics;
#[cfg(unix)]
mod instructions_are_compared;
#[cfg(feature = "kafka")]
mod kafka_produce;
#[cfg(all(feature = "cli", feature = "kafka"))]
mod kafka_sasl;
#[cfg(all(feature = "cli", feature = "kafka-tls"))]
mod kafka_scram;
#[cfg(all(feature = "cli", feature = "kafka-tls"))]
mod kafka_tls;
#[cfg(all(feature = "cli", feature = "kafka-tls"))]
mod kafka_tls_files;
#[cfg(all(feature = "cli", feature = "kafka-tls", target_os = "linux"))]
mod kafka_tls_carries;
#[cfg(all(feature = "cli", feature = "kafka"))]
mod kafka_worker_ends;
mod metrics_in_a_registry;
#[cfg(all(feature = "cli", unix))]
mod metrics_of_the_wire;
mod metrics_tell_the_ledger;
mod nobody_is_stormed;
#[cfg(feature = "cli")]
mod one_503_in_three;
mod overflow_is_a_policy;
mod pending_batches;
#[cfg(all(feature = "cli", unix))]
mod planted_secrets;
#[cfg(all(feature = "cli", unix))]
mod proxies;
#[cfg(feature = "cli")]
mod real_elastic;
#[cfg(all(feature = "cli", unix))]
mod real_prometheus;
#[cfg(all(feature = "cli", feature = "kafka"))]
mod real_kafka;
#[cfg(feature = "cli")]
mod receiver_acks;
#[cfg(feature = "cli")]
mod receiver_faults;
#[cfg(feature = "cli")]
mod receiver_http;
#[cfg(feature = "cli")]
mod receiver_life;
#[cfg(feature = "cli")]
mod receiver_speed;
mod refusals_are_logged;
#[cfg(feature = "cli")]
mod retry_after_in_both_forms;
mod sampling_keeps_the_same;
#[cfg(feature = "cli")]
mod secrets_are_never_printed;
mod splunk_acks;
#[cfg(feature = "cli")]
mod splunk_connections;
#[cfg(feature = "cli")]
mod splunk_holds_what_it_acknowledges;
#[cfg(feature = "cli")]
mod splunk_outages;
#[cfg(feature = "cli")]
mod splunk_refusals;
#[cfg(feature = "cli")]
mod splunk_two_tokens;
mod the_breaker_in_the_engine;
mod the_first_event_costs_no_more;
#[cfg(target_os = "linux")]
mod threads_are_named_and_pinned;
#[cfg(all(feature = "cli", unix))]
mod tls_files;
#[cfg(all(feature = "cli", unix))]
mod tls_says_what_is_wrong;
#[cfg(feature = "cli")]
mod token_file_is_read_again;
#[cfg(all(feature = "cli", feature = "tracing-layer"))]
mod tracing_is_audited;
mod wait_strategies;
mod wire_splunk;
mod wire_datadog;
mod wire_elastic;
#[cfg(feature = "cli")]
mod what_is_too_old_is_not_sent;
#[cfg(all(feature = "cli", feature = "kafka"))]
mod worker;
