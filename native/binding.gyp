# Builds the addon: `node scripts/build-addon.mjs`, which `npm install` and every command of a clone call.
#
# Nothing here names a processor: code that needs more than the baseline says so for itself (see crc32_folding.cc) and
# asks the processor before it runs, so that one binary runs on every machine of a kind.
{
  'variables': {
    # 'address,undefined': a build that finds memory errors, for `npm run test:sanitize`.
    'sanitize%': '',
  },
  'targets': [
    {
      'target_name': 'queuepair',
      'sources': [
        'binding.cc',
        'crc32.cc',
        'crc32_folding.cc',
        'crc_binding.cc',
        'fd_watcher.cc',
        'icrc.cc',
        'identification.cc',
        'link_binding.cc',
        'message_builder.cc',
        'peer_socket.cc',
        'receive_ring.cc',
        'ring.cc',
        'ring_hub.cc',
        'ring_waker.cc',
        'unix_message.cc',
        'segment_route.cc',
        'system_calls.cc',
        'transmitter.cc',
        'udp_binding.cc',
        'udp_port.cc',
        'udp_socket.cc',
        'ibverbs/attributes.cc',
        'ibverbs/binding.cc',
        'ibverbs/data.cc',
        'ibverbs/devices.cc',
        'ibverbs/library.cc',
        'ibverbs/objects.cc',
        'ibverbs/queue_pairs.cc',
        'ibverbs/resources.cc',
        'ibverbs/task.cc',
        'rdmacm/binding.cc',
        'rdmacm/events.cc',
        'rdmacm/ids.cc',
        'rdmacm/library.cc',
        'rdmacm/meetings.cc',
      ],
      'defines': ['NAPI_VERSION=8'],
      'cflags': ['-O3', '-fvisibility=hidden', '-Wall', '-Wextra', '-Wno-missing-field-initializers'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++17'],
      'conditions': [
        [
          'sanitize != ""',
          {
            'cflags!': ['-O3'],
            'cflags': ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=<(sanitize)', '-fno-sanitize-recover=all'],
            'ldflags': ['-fsanitize=<(sanitize)'],
          },
        ],
      ],
    },
  ],
}
