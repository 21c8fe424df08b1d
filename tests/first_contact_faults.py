"""What newcomers met in the first hour, what was found beside it, and the tests that hold each.

A fault, then files below `tests/`, each with tests of it. One that is renamed or taken away is
missed: see `test_first_contact_faults.py`.
"""

from __future__ import annotations

from typing import Final

HELD: Final[dict[str, str]] = {
    "a model as its owner has it is no onnx that can be pushed": """
gateway/cli/test_convert.py
    a_pipeline_becomes_a_model_that_was_compared_and_admitted
    a_push_of_a_pickle_names_the_conversion_with_its_arguments
gateway/conversion/test_scikit_learn.py
    an_estimator_says_the_same_as_before
    a_pickle_is_not_loaded_without_its_owners_word
gateway/conversion/test_boosters.py
    an_estimator_says_the_same_as_before
gateway/conversion/test_networks.py
    weights_beside_an_exported_model_are_merged
gateway/conversion/test_tidying.py
    an_old_opset_is_lifted_to_one_that_can_be_screened
    weights_nodes_and_imports_that_nobody_uses_are_dropped
""",
    "an upload cannot be seen, taken back or tried first": """
gateway/cli/test_upload.py
    an_upload_is_listed_for_its_sender_and_can_be_discarded
    a_dry_run_admits_and_calibrates_and_sends_nothing
    a_dry_run_refuses_as_the_gateway_would
gateway/cli/test_pushing.py
    a_name_that_is_taken_is_told_before_the_upload
""",
    "default clients cannot call from stock libraries": """
gateway/cli/test_call.py
    a_bound_client_gets_an_answer_from_a_file
e2e/test_bound_clients.py
    default_clients_call_through_stock_libraries
gateway/client/test_triton.py
    each_request_is_proven_for_its_method_and_address
gateway/client/test_auth.py
    a_nonce_is_taken_from_the_refusal_and_kept
""",
    "a refusal cannot be looked up": """
gateway/web/test_request_ids.py
    every_answer_of_the_public_door_names_its_request
    what_is_recorded_of_a_change_carries_the_id_of_its_request
    every_other_door_names_its_requests_too
gateway/web/test_reasons.py
    a_forbid_is_told_with_its_text_and_what_would_lift_it
    where_nothing_permitted_the_nearest_permit_is_told
""",
    "a secret stands on a command line or in a file for everybody": """
docs/test_secrets.py
    no_page_has_a_secret_on_a_command_line
    what_belongs_to_the_repository_is_not_ignored
    a_token_that_others_may_read_would_be_seen
""",
    "a partner takes what nobody verified": """
gateway/cli/test_verified_download.py
    without_a_kit_nothing_is_fetched
    an_older_sealed_version_is_refused_until_a_person_allows_it
    of_two_downloads_to_one_name_the_second_is_refused_and_the_first_is_whole
    a_part_that_is_too_long_starts_again
gateway/cli/test_partner.py
    a_kit_is_accepted_with_the_hash_that_was_heard_and_not_without
gateway/cli/test_artifact_files.py
    identity_files_that_cannot_be_used_are_told_apart
""",
    "a signal loses work, is not heard, or ends nothing": """
gateway/process/test_signals.py
    a_hang_up_serves_the_new_certificate_and_loses_no_connection
    a_hang_up_with_something_wrong_keeps_what_was
    it_goes_on_answering_while_others_hear_that_it_stops
    the_service_manager_hears_it
gateway/process/test_ending.py
    a_thread_that_hangs_does_not_keep_it
    a_loop_that_hangs_already_does_not_keep_it_from_hearing_the_signal
    a_log_on_standard_error_that_nobody_reads_does_not_hang_the_loop
gateway/test_standard_error.py
    a_reader_who_stops_keeps_nobody_waiting_and_loses_what_has_no_room
gateway/composition/test_reloading.py
    a_log_file_is_opened_anew_and_kept_where_something_is_wrong
e2e/test_signals_under_load.py
    hang_ups_under_load_lose_no_request_and_serve_the_new_certificate
    a_gateway_with_slow_runs_and_streams_ends_in_its_time_and_has_recorded_its_answers
""",
    "strangers at the door take its memory, its places or its time": """
e2e/test_front.py
    silent_half_open_dripping_and_endless_strangers_shut_nobody_out
gateway/process/test_bounded_http.py
    a_larger_one_ends_its_connection
    a_head_that_drips_is_not_waited_for
    requests_sent_ahead_of_an_answer_are_not_kept
    one_more_is_let_in_without_a_look_at_all_of_them
    a_request_names_its_host_once
gateway/process/test_handshakes.py
    who_stalls_makes_room_for_who_comes
gateway/test_giving_way.py
    a_newcomer_at_a_full_door_costs_the_same_however_many_are_there
gateway/web/test_paced.py
    an_upload_that_stalls_is_not_waited_for
""",
    "json that can be read in two ways is read in one of them": """
gateway/test_strict_json.py
    a_name_given_twice_is_refused
    a_number_that_does_not_fit_and_what_is_no_json_are_refused
gateway/web/test_strict_route.py
    every_route_of_the_api_is_strict
    a_flag_is_true_or_false_and_nothing_like_it
""",
    "retry-after is not true, and a clock that is off is not told": """
gateway/test_retry_after.py
    each_code_says_when_or_that_waiting_does_not_help
    both_doors_tell_it
gateway/client/test_auth.py
    a_clock_that_is_off_is_corrected_by_the_gateways_date
e2e/test_bound_clients.py
    a_client_whose_clock_is_off_is_answered_all_the_same
""",
    "a place cannot be looked at, backed up, or given other keys": """
gateway/composition/test_doctor.py
    each_planted_fault_is_found_by_its_name_with_a_remedy
gateway/composition/test_backup.py
    a_restored_gateway_has_everything_and_records_that_it_was_restored
    a_restore_removes_what_one_that_was_killed_left
gateway/test_drafts.py
    a_folder_that_somebody_holds_is_told_and_not_waited_for
gateway/cli/test_keys.py
    a_log_verifies_across_the_rotation_with_the_key_of_before
gateway/tenancy/test_credentials.py
    a_disabled_client_is_let_in_again_with_what_it_had
    who_is_let_in_again_has_no_token_of_before
e2e/test_revocation.py
    a_token_of_before_stays_dead_when_its_client_is_let_in_again
e2e/test_backup_of_postgresql.py
    without_its_client_programs_it_says_so_and_can_be_left_apart
audit/test_erasure.py
    a_rewrapping_that_a_reader_holds_up_is_wiped_by_the_next_which_has_nothing_to_wrap
""",
    "operators see nothing, or nothing while a store hangs": """
gateway/process/test_readiness.py
    a_gateway_whose_folder_loses_something_is_not_ready
    what_will_run_out_is_measured
    what_hangs_is_not_well_and_is_not_looked_at_twice
gateway/process/test_operations.py
    a_database_that_hangs_keeps_neither_the_metrics_nor_the_first_page
e2e/test_postgresql.py
    a_database_that_hangs_is_told_by_readiness_and_keeps_no_metrics_from_anybody
gateway/storage/test_postgresql_waits.py
    a_statement_that_nobody_answers_ends_and_the_next_connection_is_a_new_one
deploy/test_monitoring.py
    rules_fire_when_they_should
    rules_ask_for_metrics_that_there_are
""",
    "an installation does not begin, and does not say why": """
gateway/cli/test_main.py
    a_plain_installation_says_which_extra_is_wanted
e2e/test_installed.py
    a_wheel_holds_every_file_of_the_packages_and_nothing_else
    who_is_not_root_serves_with_a_home_that_cannot_be_written
    a_public_address_of_ipv6_is_listened_at_and_proves_tokens
gateway/process/test_binding.py
    a_port_that_is_taken_names_its_own_setting
e2e/test_missing_files.py
    what_is_missing_is_named_and_nothing_is_made_in_its_place
gateway/client/test_certificates.py
    a_network_that_inspects_tls_is_told_from_a_gateway_that_is_away
""",
    "a command says less than it knows": """
gateway/cli/test_json_everywhere.py
    every_command_has_json_or_a_reason
    an_error_is_one_value_with_the_problem_type
gateway/cli/test_named_words.py
    a_wrong_role_scope_or_purpose_is_named
    sharing_with_a_tenant_that_does_not_exist_is_refused
gateway/test_toml_text.py
    a_file_that_is_no_toml_tells_line_column_and_text
gateway/cli/test_one_token.py
    ten_commands_ask_for_one_token
gateway/cli/test_spreadsheet.py
    a_text_that_would_be_computed_is_marked_as_text
""",
    "nothing stands at the first address": """
gateway/process/test_operations.py
    the_first_page_says_what_is_well_and_what_is_left
gateway/composition/test_first_steps.py
    each_step_is_to_do_until_it_is_done
    strangers_see_a_page_that_tells_no_tenant
""",
    "a page says what is not so": """
docs/test_commands.py
    the_commands_of_a_tutorial
    every_command_there_is_is_run_by_a_page
    the_first_prediction_of_ones_own_model_takes_fewer_than_ten_commands
docs/test_troubleshooting.py
    a_symptom_is_what_the_code_says
docs/test_running.py
    the_api_reference_is_what_the_gateway_says_of_itself
e2e/described/test_described_api.py
    the_gateway_does_what_its_document_says
    the_gateway_does_what_its_document_says_for_long
""",
}
