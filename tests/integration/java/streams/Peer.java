import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.*;

/**
 * Topologies that streams_peer.c has, too: what Kafka Streams makes of them.
 *
 * usage: Peer describe                        all of them, as text
 *        Peer feed ADDRESS BASE_MS RECORDS    makes the topics and their input
 *        Peer run ADDRESS DIR [NAME...]       to the end of the input, all at a time
 *        Peer dump ADDRESS TOPIC...           the topics' records, in hexadecimal digits
 */
public final class Peer {
    private static final Serde<String> TEXT = Serdes.String();
    private static final Consumed<String, String> READ = Consumed.with(TEXT, TEXT);
    private static final Produced<String, String> WRITE = Produced.with(TEXT, TEXT);
    private static final Grouped<String, String> GROUP = Grouped.with(TEXT, TEXT);
    private static final List<String> NAMES = List.of("words", "named", "tumbling", "hopping",
        "sessions", "table", "repartitioned", "global", "inner", "left", "outer", "branches",
        "suppressed", "limited");

    /** Of the topics that are written: none in descriptions, of each topology its own when it runs. */
    private static String prefix = "";

    private static <S extends org.apache.kafka.streams.processor.StateStore>
        Materialized<String, String, S> texts() {
        return Materialized.<String, String, S>with(TEXT, TEXT).withCachingDisabled();
    }

    private static void words(StreamsBuilder builder, boolean named) {
        KTable<String, Long> counts = builder.stream("in", READ)
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, named ? Grouped.with("by-word", TEXT, TEXT) : GROUP)
            .count(named ? Materialized.as("counts") : Materialized.with(TEXT, Serdes.Long()));
        counts.toStream().to(prefix + "out", Produced.with(TEXT, Serdes.Long()));
    }

    private static KTable<Windowed<String>, Long> tumbling(StreamsBuilder builder, String store) {
        return builder.stream("in", READ).groupByKey(GROUP)
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(1000), Duration.ofMillis(300)))
            .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as(store)
                .withKeySerde(TEXT).withValueSerde(Serdes.Long()));
    }

    private static Produced<Windowed<String>, Long> windowed() {
        return Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, 1000),
            Serdes.Long());
    }

    private static void join(StreamsBuilder builder, String kind) {
        KStream<String, String> one = builder.stream("in", READ), other =
            builder.stream("other", READ);
        JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(1000),
            Duration.ofMillis(300));
        StreamJoined<String, String, String> with = StreamJoined.with(TEXT, TEXT, TEXT);
        ValueJoiner<String, String, String> both =
            (a, b) -> (a == null ? "?" : a) + (b == null ? "?" : b);
        KStream<String, String> joined = switch (kind) {
        case "inner" -> one.join(other, both, windows, with);
        case "left" -> one.leftJoin(other, both, windows, with);
        default -> one.outerJoin(other, both, windows, with);
        };
        joined.to(prefix + "out", WRITE);
    }

    private static Topology topology(String name) {
        StreamsBuilder builder = new StreamsBuilder(new TopologyConfig(new StreamsConfig(Map.of(
            "application.id", name, "bootstrap.servers", "none:1", "dsl.store.suppliers.class",
            BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class))));
        switch (name) {
        case "words" -> words(builder, false);
        case "named" -> words(builder, true);
        case "tumbling" -> tumbling(builder, "counts").toStream().to(prefix + "out", windowed());
        case "hopping" -> builder.stream("in", READ).groupByKey(GROUP)
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(1000), Duration.ZERO)
                .advanceBy(Duration.ofMillis(400)))
            .reduce((a, b) -> a + b, Peer.<WindowStore<Bytes, byte[]>>texts()).toStream()
            .to(prefix + "out", Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, 1000),
                TEXT));
        case "sessions" -> builder.stream("in", READ).groupByKey(GROUP)
            .windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofMillis(300),
                Duration.ofMillis(200)))
            .aggregate(() -> "", (key, value, text) -> text + value, (key, a, b) -> a + b,
                Peer.<SessionStore<Bytes, byte[]>>texts()).toStream()
            .to(prefix + "out", Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(String.class), TEXT));
        case "table" -> {
            KStream<String, String> stream = builder.stream("in", READ);
            KTable<String, String> table = builder.table("other", READ).mapValues(v -> v + "'")
                .filter((key, value) -> !value.startsWith("b"));
            stream.join(table, (a, b) -> a + b, Joined.with(TEXT, TEXT, TEXT)).to(prefix + "out", WRITE);
            stream.leftJoin(table, (a, b) -> a + (b == null ? "?" : b),
                Joined.with(TEXT, TEXT, TEXT)).to(prefix + "left", WRITE);
        }
        case "repartitioned" -> builder.stream("in", READ).filter((key, value) -> value != null)
            .map((key, value) -> KeyValue.pair(value.substring(0, 1), value))
            .join(builder.table("other", READ), (a, b) -> a + b, Joined.with(TEXT, TEXT, TEXT))
            .peek((key, value) -> { }).selectKey((key, value) -> value)
            .repartition(Repartitioned.with(TEXT, TEXT).withNumberOfPartitions(1))
            .to(prefix + "out", WRITE);
        case "global" -> {
            GlobalKTable<String, String> table = builder.globalTable("other", READ);
            builder.stream("in", READ).leftJoin(table, (key, value) -> value,
                (a, b) -> a + (b == null ? "?" : b)).to(prefix + "out", WRITE);
        }
        case "inner", "left", "outer" -> join(builder, name);
        case "branches" -> {
            Map<String, KStream<String, String>> branches = builder.stream("in", READ).split()
                .branch((key, value) -> value.startsWith("a"))
                .branch((key, value) -> value.startsWith("b"))
                .defaultBranch();
            List<String> names = new ArrayList<>(branches.keySet());
            names.sort(null); // the default's ends with 0
            branches.get(names.get(1)).merge(branches.get(names.get(2)).mapValues(v -> v + "*"))
                .to(prefix + "out", WRITE);
            branches.get(names.get(0)).to(prefix + "left", WRITE);
        }
        case "suppressed" -> tumbling(builder, "counts")
            .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
            .toStream().to(prefix + "out", windowed());
        default -> builder.table("in", READ).toStream().toTable()
            .suppress(Suppressed.untilTimeLimit(Duration.ofMillis(1000),
                Suppressed.BufferConfig.unbounded())).toStream().to(prefix + "out", WRITE);
        }
        return builder.build();
    }

    /** Words by key, with times that are not quite in order; never the same in both topics. */
    private static void feed(String address, long baseMs, int records) throws Exception {
        String[] words = {"ant", "bee", "cat", "a", "b"};
        Random random = new Random(20261123);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address));
             Producer<String, String> producer = new KafkaProducer<>(
                 Map.of("bootstrap.servers", address), new StringSerializer(),
                 new StringSerializer())) {
            admin.createTopics(List.of(new NewTopic("in", 1, (short) 1),
                new NewTopic("other", 1, (short) 1))).all().get();
            for (int i = 0; i < records; i++) {
                boolean other = random.nextInt(3) == 0;
                long at = baseMs + i * 80L - random.nextInt(6) * 100 + (other ? 1 : 0);
                String value = words[random.nextInt(5)];
                if (!other && random.nextInt(2) == 0)
                    value += " " + words[random.nextInt(5)];
                producer.send(new ProducerRecord<>(other ? "other" : "in", 0, at,
                    words[random.nextInt(5)], other && random.nextInt(8) == 0 ? null : value));
            }
        }
    }

    /** Has the group committed the ends of all that it reads? */
    private static boolean isDone(Admin admin, String group) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> committed =
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        boolean done = committed.keySet().stream().anyMatch(p -> p.topic().equals("in"));
        for (var end : admin.listOffsets(committed.keySet().stream().collect(Collectors.toMap(
            p -> p, p -> OffsetSpec.latest()))).all().get().entrySet())
            done &= committed.get(end.getKey()).offset() >= end.getValue().offset();
        return done;
    }

    private static KafkaStreams start(String address, String name, String dir) {
        Properties settings = new Properties();
        settings.putAll(Map.of("bootstrap.servers", address, "application.id", name,
            "state.dir", dir, "statestore.cache.max.bytes", "0", "commit.interval.ms", "100",
            "producer.linger.ms", "5", "metadata.max.age.ms", "500"));
        // the same results whatever the time of day
        settings.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0L);
        prefix = name + "-";
        KafkaStreams streams = new KafkaStreams(topology(name), settings);
        streams.start();
        return streams;
    }

    private static void run(String address, String dir, List<String> names) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            List<NewTopic> topics = new ArrayList<>();
            for (String name : names)
                for (String topic : List.of("out", "left"))
                    topics.add(new NewTopic(name + "-" + topic, 1, (short) 1));
            admin.createTopics(topics).all().get();
            List<KafkaStreams> started = new ArrayList<>();
            for (String name : names)
                started.add(start(address, name, dir));
            long until = System.nanoTime() + 120_000_000_000L;
            int done = 0;
            while (done < 24 && System.nanoTime() < until) {
                Thread.sleep(50);
                boolean all = true;
                for (String name : names)
                    all &= isDone(admin, name);
                done = all ? done + 1 : 0;
            }
            for (KafkaStreams streams : started)
                streams.close();
            if (done < 24)
                throw new IllegalStateException("not all get to the end");
        }
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "null" : HexFormat.of().formatHex(bytes);
    }

    private static void dump(String address, String topic) {
        Map<String, Object> settings = Map.of("bootstrap.servers", address);
        try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings,
            new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(p -> new TopicPartition(topic, p.partition())).toList();
            for (TopicPartition partition : partitions) {
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                long end = consumer.endOffsets(List.of(partition)).get(partition);
                while (consumer.position(partition) < end)
                    for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(100)))
                        System.out.println(topic + " " + r.partition() + " " + hex(r.key()) + " "
                            + hex(r.value()) + " " + r.timestamp());
            }
        }
    }

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
        case "describe" -> {
            for (String name : NAMES)
                System.out.print("== " + name + "\n" + topology(name).describe());
        }
        case "feed" -> feed(a[1], Long.parseLong(a[2]), Integer.parseInt(a[3]));
        case "run" -> run(a[1], a[2], a.length > 3 ? List.of(a).subList(3, a.length) : NAMES);
        default -> {
            for (String topic : List.of(a).subList(2, a.length))
                dump(a[1], topic);
        }
        }
    }
}
