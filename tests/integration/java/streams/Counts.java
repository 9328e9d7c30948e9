import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.*;

/**
 * A Kafka Streams application that counts by key and window, exactly once, and what its end has to
 * show. Its input is a function of the number of a record, so that the counts are known.
 *
 * usage: Counts make ADDRESS                  the topics
 *        Counts feed ADDRESS FIRST END RATE   records FIRST to END - 1, so many a second
 *        Counts run ADDRESS DIR               the application, until it is killed
 *        Counts check ADDRESS DIR END         runs it to the end of the input, then looks at it all
 */
public final class Counts {
    private static final String NAME = "counts", STORE = "windows";
    private static final int PARTITIONS = 4, KEYS = 40;
    private static final long WINDOW_MS = 5_000, STEP_MS = 1, LIMIT_NS = 90_000_000_000L;

    private final String address;
    private final long baseMs; // of the first record; a whole window

    private Counts(String address, long baseMs) {
        this.address = address;
        this.baseMs = baseMs;
    }

    private static String key(int number) {
        return "k" + number * 7919 % KEYS;
    }

    private static void say(String what, Object answer) {
        System.out.println(what + ": " + answer);
        System.out.flush();
    }

    // ---- the input

    private void make() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.createTopics(List.of(new NewTopic("in", PARTITIONS, (short) 1),
                new NewTopic("out", PARTITIONS, (short) 1))).all().get();
        }
    }

    /** An idempotent producer: a retry is no second record. */
    private void feed(int first, int end, int rate) throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(Map.of(
                 "bootstrap.servers", address, "linger.ms", "5"),
                 new StringSerializer(), new StringSerializer())) {
            long began = System.nanoTime();
            for (int i = first; i < end; i++) {
                long ahead = (i - first) * 1_000_000_000L / rate - (System.nanoTime() - began);
                if (ahead > 5_000_000)
                    Thread.sleep(ahead / 1_000_000);
                producer.send(new ProducerRecord<>("in", i % PARTITIONS, baseMs + i * STEP_MS,
                    null, key(i)));
            }
        }
        say("fed", end - first);
    }

    // ---- the application

    /** By value, so that the records pass through a repartition topic. */
    private static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream("in", Consumed.with(Serdes.String(), Serdes.String()))
            .groupBy((key, value) -> value, Grouped.with(Serdes.String(), Serdes.String()))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(WINDOW_MS),
                Duration.ofHours(1)))
            .count(Materialized.<String, Long>as(Stores.inMemoryWindowStore(STORE,
                Duration.ofHours(2), Duration.ofMillis(WINDOW_MS), false))
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream()
            .map((key, count) -> KeyValue.pair(key.key() + "@" + key.window().start(), count))
            .to("out", Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }

    /** Every update is a record of the output: nothing is held back in a cache. */
    private KafkaStreams start(String directory) {
        Properties properties = new Properties();
        properties.put("application.id", NAME);
        properties.put("bootstrap.servers", address);
        properties.put("state.dir", directory);
        properties.put("processing.guarantee", "exactly_once_v2");
        properties.put("commit.interval.ms", "100");
        properties.put("num.stream.threads", "2");
        properties.put("statestore.cache.max.bytes", "0");
        properties.put("repartition.purge.interval.ms", "500");
        properties.put("replication.factor", "1");
        properties.put("consumer.session.timeout.ms", "6000");
        properties.put("consumer.heartbeat.interval.ms", "500");
        properties.put("consumer.auto.offset.reset", "earliest");
        properties.put("producer.transaction.timeout.ms", "3000");
        KafkaStreams streams = new KafkaStreams(topology(), properties);
        streams.setStateListener((now, before) -> say("state", now));
        streams.setUncaughtExceptionHandler(error -> {
            say("failed", error);
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler
                .StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        return streams;
    }

    // ---- the end

    private static final class Seen {
        long total;
        boolean doubled;
        final Map<String, Long> last = new TreeMap<>();
    }

    /** All of a topic, as a reader of committed records has it. A key's counts must rise by one. */
    private <K> Seen read(String topic, Deserializer<K> keys,
                          java.util.function.Function<K, String> name) {
        Seen seen = new Seen();
        Map<String, Object> settings = Map.of("bootstrap.servers", address,
            "isolation.level", "read_committed");
        try (KafkaConsumer<K, Long> consumer =
                 new KafkaConsumer<>(settings, keys, new LongDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(p ->
                all.add(new TopicPartition(topic, p.partition())));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            while (all.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (ConsumerRecord<K, Long> record : consumer.poll(Duration.ofMillis(100))) {
                    String key = name.apply(record.key());
                    Long before = seen.last.put(key, record.value());
                    seen.doubled |= record.value() != (before == null ? 0 : before) + 1;
                    seen.total++;
                }
            }
        }
        return seen;
    }

    private Map<String, Long> wanted(int end) {
        Map<String, Long> counts = new TreeMap<>();
        for (int i = 0; i < end; i++)
            counts.merge(key(i) + "@" + i * STEP_MS / WINDOW_MS, 1L, Long::sum);
        return counts;
    }

    private String named(String key, long startMs) {
        return key + "@" + (startMs - baseMs) / WINDOW_MS;
    }

    private Seen output() {
        return read("out", new StringDeserializer(), key -> {
            int at = key.indexOf('@');
            return named(key.substring(0, at), Long.parseLong(key.substring(at + 1)));
        });
    }

    private void check(String directory, int end) throws Exception {
        KafkaStreams streams = start(directory);
        long until = System.nanoTime() + LIMIT_NS;
        Seen out = output();
        while ((out.total < end || streams.state() != KafkaStreams.State.RUNNING)
            && System.nanoTime() < until) {
            Thread.sleep(200);
            out = output();
        }
        Map<String, Long> wanted = wanted(end), stored = new TreeMap<>();
        String changelog = NAME + "-" + STORE + "-changelog";
        Seen changes = read(changelog,
            new WindowedSerdes.TimeWindowedSerde<>(Serdes.String(), WINDOW_MS).forChangelog(true)
                .deserializer(),
            key -> named(key.key(), key.window().start()));
        ReadOnlyWindowStore<String, Long> store = streams.store(StoreQueryParameters
            .fromNameAndType(STORE, QueryableStoreTypes.<String, Long>windowStore()));
        try (KeyValueIterator<Windowed<String>, Long> all = store.all()) {
            all.forEachRemaining(e ->
                stored.put(named(e.key.key(), e.key.window().start()), e.value));
        }
        say("records", out.total);
        say("each update once", !out.doubled);
        say("counts", out.last.equals(wanted) ? "as they should be" : difference(wanted, out.last));
        say("store", stored.equals(wanted) ? "as it should be" : difference(wanted, stored));
        say("changelog", changes.last.equals(stored) ? "as the store" : changes.last);
        say("each change once", !changes.doubled + " " + changes.total);
        out.last.forEach((key, count) -> say(key, count));
        topics();
        streams.close(Duration.ofSeconds(10));
        say("end", "reached");
    }

    private static String difference(Map<String, Long> wanted, Map<String, Long> found) {
        Set<String> keys = new TreeSet<>(wanted.keySet());
        keys.addAll(found.keySet());
        keys.removeIf(key -> wanted.getOrDefault(key, 0L).equals(found.getOrDefault(key, 0L)));
        return keys.size() + " differ, first " + keys.stream().limit(5).map(key -> key + " "
            + found.get(key) + " instead of " + wanted.get(key)).toList();
    }

    /** What Kafka Streams has made of its internal topics. */
    private void topics() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            TreeSet<String> internal = new TreeSet<>(admin.listTopics().names().get());
            internal.removeIf(name -> !name.startsWith(NAME));
            Map<ConfigResource, Config> configs = admin.describeConfigs(internal.stream().map(
                name -> new ConfigResource(ConfigResource.Type.TOPIC, name)).toList()).all().get();
            Map<String, String> lines = new TreeMap<>();
            configs.forEach((topic, config) -> lines.put(topic.name(), new TreeSet<>(config
                .entries().stream().filter(e -> e.source()
                    == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG
                    && !e.name().equals("min.insync.replicas"))
                .map(e -> e.name() + "=" + e.value()).toList()).toString()));
            lines.forEach(Counts::say);
            say("partitions", new TreeMap<>(admin.describeTopics(internal).allTopicNames().get())
                .values().stream().map(t -> t.partitions().size()).toList());
            say("group", admin.describeConsumerGroups(List.of(NAME)).all().get().get(NAME).state());
            Map<TopicPartition, Long> offsets = new HashMap<>();
            admin.listConsumerGroupOffsets(NAME).partitionsToOffsetAndMetadata().get()
                .forEach((p, o) -> { if (p.topic().equals("in")) offsets.put(p, o.offset()); });
            say("offsets", offsets.values().stream().sorted().toList());
        }
    }

    public static void main(String[] a) throws Exception {
        Counts counts = new Counts(a[1], Long.parseLong(System.getenv("COUNTS_BASE_MS")));
        switch (a[0]) {
        case "make" -> counts.make();
        case "feed" -> counts.feed(Integer.parseInt(a[2]), Integer.parseInt(a[3]),
            Integer.parseInt(a[4]));
        case "run" -> counts.start(a[2]);
        default -> {
            try {
                counts.check(a[2], Integer.parseInt(a[3]));
                System.exit(0);
            } catch (Throwable e) { // the threads of the application would go on
                e.printStackTrace();
                System.exit(1);
            }
        }
        }
    }
}
