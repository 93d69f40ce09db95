#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    tollgate_translate_fuzz::decode(tollgate_core::Protocol::AnthropicMessages, body);
});
